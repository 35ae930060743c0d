"""A trained network on real images: what an app sees is what PyTorch saw while it was trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from export.formats import get_format
from export.pipeline import make_artifacts
from export.request.app import AppOptions, parse_labels
from export.request.request import BuildRequest
from export.request.source import ZooSource
from pfd_models import create_model, list_models, load_weights
from pfd_models.training.datasets import find_image_set, open_splits
from pfd_models.training.transforms import Normalise


@pytest.fixture(scope="module")
def digits():
    """The test images as bytes, (N, 16, 16, 3), and their classes."""
    split = open_splits("digits", None).val
    prepare = find_image_set("digits")[1].prepare(16)
    images = torch.stack([prepare(split.picture(i)) for i in range(len(split.labels))])
    return images.permute(0, 2, 3, 1).contiguous().numpy(), np.array(split.labels)


def build(model, folder, *, weights=None, formats=("tflite",), variant="orig", **options):
    return make_artifacts(
        BuildRequest(
            source=ZooSource(model=model, variant=variant, num_classes=10, resolution=16),
            weights=weights,
            formats=formats,
            out=folder,
            app=AppOptions(labels=parse_labels("dataset:digits"), **options),
        )
    ).manifest


@pytest.fixture(scope="module")
def expected(digitnet, trained, digits):
    """PyTorch's class of every image, by the pipeline that training uses."""
    model = create_model(digitnet, "orig", "cifar100", 10, 16)
    load_weights(model, trained.weights)
    pixels = torch.from_numpy(digits[0]).permute(0, 3, 1, 2)
    with torch.no_grad():
        return model.eval()(Normalise(model.spec.input)(pixels)).argmax(1).numpy()


def test_bytes_become_the_class_that_pytorch_gives_in_every_format(
    digitnet, trained, digits, expected, tmp_path
):
    manifest = build(
        digitnet, tmp_path, weights=trained.weights, preprocess="uint8", head="argmax",
        formats=("pte", "onnx", "tflite"),
    )  # fmt: skip
    assert manifest.app.labels == tuple("0123456789")
    for artifact in manifest.artifacts:
        run = get_format(artifact.format).load(manifest.path(artifact))
        found = np.array([run([image[None]])[0][0] for image in digits[0]])
        assert np.array_equal(found, expected), artifact.file
    assert np.mean(expected == digits[1]) > 0.8


def test_mediapipes_classifier_gives_the_class_that_pytorch_gives(
    digitnet, trained, digits, expected, tmp_path, mediapipe
):
    manifest = build(
        digitnet, tmp_path, weights=trained.weights, preprocess="baked", head="softmax"
    )
    path = manifest.path(manifest.artifact("tflite"))
    (answers,) = mediapipe(tmp_path, digits[0], path)
    assert [index for index, _, _ in answers] == expected.tolist()
    assert [name for _, name, _ in answers] == [str(index) for index in expected]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["orig", "ours"])
@pytest.mark.parametrize("model", list_models())
def test_mediapipe_loads_every_network_of_the_zoo(model, variant, tmp_path, mediapipe):
    manifest = make_artifacts(
        BuildRequest(
            source=ZooSource(model=model, variant=variant),
            formats=("tflite",),
            out=tmp_path,
            app=AppOptions(preprocess="baked", head="softmax"),
        )
    ).manifest
    artifact = manifest.artifact("tflite")
    generator = np.random.Generator(np.random.PCG64(0))
    image = generator.integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    ((answer,),) = mediapipe(tmp_path, image, manifest.path(artifact))
    run = get_format("tflite").load(manifest.path(artifact))
    (probabilities,) = run([image.transpose(0, 3, 1, 2) / np.float32(255)])
    assert answer[0] == probabilities.argmax()
    # MediaPipe brings a LiteRT of its own: as near as two runtimes must be, not as one to itself.
    allowed = artifact.parity.limit * np.abs(probabilities).max()
    assert abs(answer[2] - probabilities.max()) <= allowed
