"""Files that an app drops in: every format, from uint8 pixels to the label, held to PyTorch."""

from __future__ import annotations

import io
import itertools
import zipfile

import numpy as np
import pytest
import torch
from app_sets import LABELS, SIDE, build_set

from export.formats import get_format
from export.network.network import make_network
from pfd_models.errors import SpecError

FORMATS = ("onnx", "pte", "tflite")


def pixels_of(count, side=SIDE, seed=0):
    """Images with a brightness of their own, uint8 (count, side, side, 3)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    ends = np.sort(generator.integers(0, 256, (2, count, 1, 1, 3)), axis=0)
    noise = generator.uniform(size=(count, side, side, 3))
    return (ends[0] + noise * (ends[1] - ends[0])).astype(np.uint8)


def test_every_format_gives_the_same_classes_for_bytes(byte_set):
    assert byte_set.app.labels == LABELS
    images = pixels_of(4)
    found = {}
    for artifact in byte_set.artifacts:
        assert [t.dtype for t in (*artifact.inputs, *artifact.outputs)] == [
            "uint8", "float32", "int32",
        ]  # fmt: skip
        run = get_format(artifact.format).load(byte_set.path(artifact))
        found[artifact.format] = [run([image[None]]) for image in images]
    for scores, places in found["tflite"]:
        assert np.all(np.diff(scores) <= 0)
        assert len(set(places[0])) == 3
    for one, other in zip(found["tflite"], found["pte"], strict=True):
        assert np.array_equal(one[0], other[0])
        untied = np.diff(one[0][0], append=-np.inf, prepend=np.inf)
        untied = (untied[:-1] < 0) & (untied[1:] < 0)
        assert np.array_equal(one[1][0][untied], other[1][0][untied])


def test_each_file_says_what_it_does(byte_set):
    for artifact in byte_set.artifacts:
        said = get_format(artifact.format).read_identity(byte_set.path(artifact))
        assert (said["preprocess"], said["head"]) == ("uint8", "topk:3")
        assert said["mean"] == "0.0,0.0,0.0"  # for the caller nothing is left to subtract
        if artifact.format == "tflite":
            archive = zipfile.ZipFile(io.BytesIO(byte_set.path(artifact).read_bytes()))
            assert tuple(archive.read("labels.txt").decode().splitlines()) == LABELS
        else:
            assert tuple(said["labels"].splitlines()) == LABELS


def test_an_int8_file_with_a_head_says_how_often_it_agrees(byte_set):
    costs = {a.format: a.cost for a in byte_set.artifacts}
    assert all(0.5 < cost.agreement <= 1 for cost in costs.values())


def test_mediapipe_reads_normalisation_and_labels(float_set, mediapipe, tmp_path):
    images = pixels_of(8)
    (artifact,) = (a for a in float_set.artifacts if a.format == "tflite")
    path = float_set.path(artifact)
    (answers,) = mediapipe(tmp_path, images, path)
    run = get_format("tflite").load(path)
    for image, (index, name, score) in zip(images, answers, strict=True):
        unit = (image.astype(np.float32) / 255 - 0.5) / 0.25
        (scores,) = run([unit.transpose(2, 0, 1)[None]])
        assert index == scores[0].argmax()
        assert name == LABELS[index]
        assert abs(score - scores[0].max()) <= 1e-5 * abs(scores).max()


def test_a_wish_that_does_not_fit_the_network_leaves_nothing(tmp_path):
    with pytest.raises(SpecError, match="topk:11 of 10 classes"):
        build_set(tmp_path, "--head", "topk:11")
    assert not list(tmp_path.glob("out/*"))


def test_half_files_normalise_and_finish_the_answer(half_set):
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25)))
    module = _same_network(half_set.folder.parent)
    images = torch.from_numpy(pixels_of(4)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        wanted = module((images - mean) / std).softmax(1).numpy()
    for artifact in half_set.artifacts:
        assert (artifact.precision, artifact.outputs[0].name) == ("fp16", "probabilities")
        run = get_format(artifact.format).load(half_set.path(artifact))
        found = np.concatenate([run([image[None].numpy()])[0] for image in images])
        assert 0 < np.abs(found - wanted).max() < 0.01  # half weights, but no other answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preprocess", "head", "precision"),
    list(
        itertools.product(
            ("baked", "uint8"), ("softmax", "argmax", "topk:3"), ("fp32", "fp16", "int8")
        )
    ),
)
def test_every_combination_is_built_and_equals_the_pipeline(preprocess, head, precision, tmp_path):
    calibration = ["--calibration", "synthetic"] if precision == "int8" else []
    manifest = build_set(
        tmp_path, "--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.25", "--preprocess", preprocess,
        "--head", head, "--precision", precision, *calibration,
    )  # fmt: skip
    assert {a.format for a in manifest.artifacts} == set(FORMATS)
    if precision != "fp32":
        return  # held to the integer reference or to the half run by the build
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25)))
    module = _same_network(tmp_path)
    for image, artifact in itertools.product(pixels_of(16, seed=1), manifest.artifacts):
        run = get_format(artifact.format).load(manifest.path(artifact))
        fed = image[None] if preprocess == "uint8" else image.transpose(2, 0, 1)[None] / 255.0
        found = run([fed.astype(np.uint8 if preprocess == "uint8" else np.float32)])[-1]
        unit = torch.from_numpy(image).permute(2, 0, 1) / 255
        with torch.no_grad():
            scores = module(((unit - mean) / std)[None])
        if head == "softmax":
            assert np.abs(found - scores.softmax(1).numpy()).max() < 1e-5
        elif head == "argmax":
            assert found.item() == scores.argmax(1).item()
        else:
            assert found.tolist() == scores.topk(3).indices.tolist()


def _same_network(folder):
    """Make the seeded network that the build of the same folder made."""
    from export.request.request import BuildRequest
    from export.request.source import InputTensor, ModuleSource

    source = ModuleSource(
        target="appnet:make",
        inputs=(InputTensor(shape=(1, 3, SIDE, SIDE)),),
        search_path=str(folder),
    )
    return make_network(BuildRequest(source=source))[0].module
