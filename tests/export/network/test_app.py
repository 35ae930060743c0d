"""A network with what an app would do around it: the pipeline from pixels to labels."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from export.network.app import AppNetwork, wrap_for_app
from export.network.network import Network
from export.request.app import AppOptions, LabelSource
from export.request.source import InputTensor
from pfd_models.errors import DataError, ModuleError, SpecError
from pfd_models.training.transforms import Normalise
from pfd_models.zoo.spec import InputSpec

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def classifier(classes=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, classes))


def network(module=None, *, mean=MEAN, std=STD, shape=(1, 3, 8, 8)):
    image = {"mean": list(mean), "std": list(std), "value_range": [0.0, 1.0]}
    return Network(
        module=(module or classifier()).eval(),
        name="net",
        variant="",
        dataset="",
        inputs=(InputTensor(shape=shape),),
        spec={"input": image} if mean else {},
        stem="net_1x3x8x8_fp32",
    )


def test_a_request_without_wishes_leaves_the_network_as_it_is():
    plain = network()
    assert wrap_for_app(plain, AppOptions()) is plain


@pytest.mark.parametrize("head", ["softmax", "argmax", "topk:3"])
@pytest.mark.parametrize("preprocess", ["baked", "uint8"])
def test_it_computes_what_training_and_evaluation_compute_from_the_pixels(preprocess, head):
    plain = network()
    wrapped = wrap_for_app(plain, AppOptions(preprocess=preprocess, head=head))
    pixels = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    normalise = Normalise(InputSpec(height=8, width=8, mean=MEAN, std=STD))
    with torch.no_grad():
        scores = plain.module(normalise(pixels))
        fed = pixels.permute(0, 2, 3, 1) if preprocess == "uint8" else pixels / 255
        found = wrapped.module(fed)
    if head == "softmax":
        assert torch.equal(found["probabilities"], scores.softmax(1))
    elif head == "argmax":
        assert found["label"].dtype == torch.int32
        assert torch.equal(found["label"].long(), scores.argmax(1))
    else:
        best, places = scores.topk(3)
        assert torch.equal(found["scores"], best)
        assert torch.equal(found["labels"].long(), places)


def test_the_files_then_take_plain_pixels_and_are_called_so():
    baked = wrap_for_app(network(), AppOptions(preprocess="baked", head="topk:3"))
    assert baked.stem == "net_1x3x8x8_baked_topk3_fp32"
    assert baked.spec["input"]["mean"] == [0.0, 0.0, 0.0]
    assert baked.spec["input"]["std"] == [1.0, 1.0, 1.0]
    assert (baked.app.mean, baked.app.std, baked.app.head) == (MEAN, STD, "topk:3")
    taken = wrap_for_app(network(), AppOptions(preprocess="uint8"))
    assert (taken.inputs[0].shape, taken.inputs[0].dtype) == ((1, 8, 8, 3), "uint8")
    assert taken.spec["input"]["layout"] == "NHWC"


def test_metadata_that_hold_one_mean_are_left_to_say_it():
    one = wrap_for_app(network(mean=[0.5] * 3, std=[0.5] * 3), AppOptions(preprocess="metadata"))
    assert one.app.preprocess == "metadata"
    assert one.spec["input"]["mean"] == [0.5, 0.5, 0.5]
    assert not one.notes


def test_metadata_that_cannot_hold_the_normalisation_are_said_and_it_is_folded():
    folded = wrap_for_app(network(), AppOptions(preprocess="metadata"))
    assert folded.app.preprocess == "baked"
    assert folded.spec["input"]["std"] == [1.0, 1.0, 1.0]
    assert "folded into the graph instead" in folded.notes[0]


def test_labels_come_from_a_file_of_one_name_a_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeff" + "\n".join(f" name {i} " for i in range(10)) + "\n\n", "utf-8")
    labels = LabelSource(kind="file", place=str(path))
    assert wrap_for_app(network(), AppOptions(labels=labels)).app.labels[9] == "name 9"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a\nb\n", "has 2 names, net has 10 classes"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"\xff\xfe\x00", "it is no utf-8 text"),
        (b"a\nb\0c\n", "line 2 holds a zero byte"),
    ],
)
def test_labels_that_do_not_fit_are_refused(content, line, tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    labels = LabelSource(kind="file", place=str(path))
    with pytest.raises(DataError, match=line):
        wrap_for_app(network(), AppOptions(labels=labels))


def test_labels_of_a_data_set_are_its_classes():
    labels = LabelSource(kind="dataset", place="digits")
    found = wrap_for_app(network(), AppOptions(labels=labels)).app.labels
    assert found == tuple("0123456789")
    with pytest.raises(SpecError, match="give dataset:NAME"):
        wrap_for_app(network(), AppOptions(labels=LabelSource(kind="dataset")))


@pytest.mark.parametrize(
    ("module", "head", "line"),
    [
        (nn.Conv2d(3, 4, 3), "argmax", r"returns \(1, 4, 6, 6\)"),
        (nn.Flatten(0), "softmax", r"returns \(192,\)"),
        (classifier(), "topk:11", "topk:11 of 10 classes; give 10 or fewer"),
    ],
)
def test_a_head_that_does_not_fit_the_output_is_refused(module, head, line):
    with pytest.raises(SpecError, match=line):
        wrap_for_app(network(module), AppOptions(head=head))


def test_an_unknown_normalisation_is_asked_for_and_taken():
    plain = network(mean=())
    with pytest.raises(SpecError, match="nothing says how net is normalised; say it, as --mean"):
        wrap_for_app(plain, AppOptions(preprocess="baked"))
    said = AppOptions(preprocess="baked", mean=MEAN, std=STD)
    assert wrap_for_app(plain, said).app.mean == MEAN
    with pytest.raises(SpecError, match="net says itself how it is normalised"):
        wrap_for_app(network(), said)


def test_means_for_another_number_of_channels_are_refused():
    grey = network(nn.Flatten(), mean=(), shape=(1, 1, 8, 8))
    with pytest.raises(SpecError, match="3 means and the input is float32"):
        wrap_for_app(grey, AppOptions(preprocess="baked", mean=MEAN, std=STD))
    two = dataclasses.replace(grey, inputs=(grey.inputs[0], grey.inputs[0]))
    with pytest.raises(SpecError, match="needs one image"):
        wrap_for_app(two, AppOptions(preprocess="baked", mean=MEAN, std=STD))


def test_a_module_that_fails_on_zeros_says_why():
    class Strict(nn.Module):
        def forward(self, x):
            raise ValueError("no black images")

    with pytest.raises(ModuleError, match="does not run on zeros: no black images"):
        wrap_for_app(network(Strict()), AppOptions(head="argmax"))


def test_the_pipeline_runs_in_float64_as_the_yardstick_needs_it():
    module = AppNetwork(classifier(), mean=MEAN, std=STD, takes_bytes=True, head="softmax")
    pixels = torch.randint(0, 256, (1, 8, 8, 3), dtype=torch.uint8)
    assert module.double()(pixels)["probabilities"].dtype == torch.float64
