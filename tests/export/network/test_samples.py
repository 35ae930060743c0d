"""Inputs that a user brings: what is read, and what is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.io import write_png

from export.network.samples import choose_inputs, load_arrays, load_images
from export.request.request import BuildRequest
from export.request.samples import MOST_SAMPLES, samples_digest
from export.request.source import ZooSource
from pfd_models.errors import DataError

SHAPES = [(1, 3, 4, 6)]


@pytest.fixture
def images(tmp_path):
    """Ten pictures of one grey each, twice as large as the network's input."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(10):
        write_png(torch.full((3, 8, 12), 25 * i, dtype=torch.uint8), str(folder / f"{i}.png"))
    (folder / "notes.txt").write_text("not an image")
    return folder


def refusal(call, *arguments):
    with pytest.raises(DataError) as caught:
        call(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_images_are_resized_and_take_the_range(images):
    inputs = load_images(images, SHAPES, (0.0, 255.0), {})
    assert len(inputs) == MOST_SAMPLES
    assert all(image.shape == (1, 3, 4, 6) and image.dtype == np.float32 for (image,) in inputs)
    assert [float(image.mean()) for (image,) in inputs] == [25.0 * i for i in range(MOST_SAMPLES)]
    (dark,), (light,) = load_images(images, SHAPES, (-1.0, 1.0), {})[:2]
    assert (dark.max(), light.min()) == (-1.0, np.float32(25 / 255 * 2 - 1))


def test_images_of_a_zoo_network_are_normalised_as_it_wants(images):
    how = {"mean": (0.5, 0.5, 0.0), "std": (0.5, 1.0, 1.0)}
    ((image,), *_) = load_images(images, [(2, 3, 4, 6)], None, how)
    assert image.shape == (2, 3, 4, 6)
    assert image[1, :, 0, 0].tolist() == [-1.0, -0.5, 0.0]


def test_images_without_a_range_are_refused(images):
    assert "--input-range 0,1" in refusal(load_images, images, SHAPES, None, {})
    assert "holds images" in refusal(load_images, images, [(1, 40)], (0, 1), {})


def test_an_image_that_is_none_is_named(images):
    (images / "3.png").write_bytes(b"no picture")
    assert "3.png cannot be read as an image" in refusal(load_images, images, SHAPES, (0, 1), {})


def test_arrays_are_read_with_and_without_the_batch_of_one(tmp_path):
    path = tmp_path / "inputs.npz"
    first, second = np.random.rand(3, 3, 4, 6), np.arange(15).reshape(3, 1, 5)
    np.savez(path, input_0=first, input_1=second)
    inputs = load_arrays(path, [(1, 3, 4, 6), (1, 5)])
    assert [[a.shape for a in sample] for sample in inputs] == [[(1, 3, 4, 6), (1, 5)]] * 3
    assert np.array_equal(inputs[2][0][0], first[2].astype(np.float32))
    assert inputs[1][1].tolist() == [[5, 6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": np.zeros((2, 3, 4, 6))}, "has no input_0; it has images"),
        ({"input_0": np.zeros((2, 3, 5, 6))}, "(2, 3, 5, 6); the network wants (samples, 1, 3, 4"),
        ({"input_0": np.zeros((1, 3, 4, 6))}, "holds 1 samples; give 2 or more"),
        ({"input_0": np.array(["a", "b"])}, "input_0 is <U1; give numbers"),
    ],
    ids=["name", "shape", "one sample", "text"],
)
def test_arrays_of_another_network_are_refused(tmp_path, arrays, says):
    np.savez(tmp_path / "inputs.npz", **arrays)
    assert says in refusal(load_arrays, tmp_path / "inputs.npz", SHAPES)


def test_a_file_that_is_no_npz_is_refused(tmp_path, images):
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    assert "cannot be read as an .npz" in refusal(load_arrays, tmp_path / "broken.npz", SHAPES)
    assert "is no .npz file and no folder" in refusal(samples_digest, tmp_path / "absent")
    for path in images.glob("[1-9].png"):
        path.unlink()
    assert "holds 1 images" in refusal(samples_digest, images)


def test_the_digest_follows_the_content(images):
    before = samples_digest(images)
    assert before == samples_digest(images)
    (images / "2.png").write_bytes((images / "3.png").read_bytes())
    assert before != samples_digest(images) != samples_digest(None) == ""


def test_the_manifest_can_say_what_was_fed(images):
    def called(**options):
        request = BuildRequest(source=ZooSource(model="ghostnet"), **options)
        return choose_inputs(request, SHAPES, {})[1]

    assert called() == "standard normal noise"
    assert called(input_range=(0.0, 255.0)) == "noise from 0 to 255"
    assert called(samples=images, input_range=(0.0, 1.0)).startswith("8 samples of images, sha256 ")
