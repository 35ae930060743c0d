"""Every way to name calibration data, and every one that is refused in one clear line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from export.quantization.calibration import load_calibration
from export.request.calibration import CalibrationSource, parse_calibration
from pfd_models.errors import DataError, SpecError

SHAPES = ((1, 3, 12, 12),)
IMAGE = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


FED = {"input_0": np.random.default_rng(0).random((4, 3, 12, 12))}


@pytest.fixture
def pictures(tmp_path):
    """A folder of noise, some of it in a folder below."""
    from PIL import Image

    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(8):
        pixels = generator.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("below" if i % 2 else "") / f"{i}.png")
    return folder


def load(source, image=IMAGE, **options):
    if isinstance(source, CalibrationSource):
        return load_calibration(source, SHAPES, image, **options)
    return load_calibration(parse_calibration(str(source)), SHAPES, image, **options)


def test_a_folder_gives_images_as_the_network_is_fed_and_holds_some_back(pictures):
    data = load(pictures)
    assert (len(data.samples), len(data.held), data.labels) == (6, 2, ())
    everything = torch.cat([x for (x,) in (*data.samples, *data.held)])
    assert everything.shape == (8, 3, 12, 12)
    assert len(everything.flatten(1).unique(dim=0)) == 8  # none is in both
    assert -2.0 <= float(everything.min()) < float(everything.max()) <= 2.0


def test_the_seed_chooses_the_images(pictures):
    chosen = [parse_calibration(str(pictures), count=3, seed=seed).files()[0] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_what_the_pixels_become_can_be_said_for_a_module_of_ones_own(pictures):
    data = load(pictures, image={}, value_range=(0.0, 1.0))
    assert 0.0 <= float(data.samples[0][0].min()) < float(data.samples[0][0].max()) <= 1.0
    with pytest.raises(DataError, match="nothing says what the pixel values 0 and 255 become"):
        load(pictures, image={})


def test_a_data_set_gives_labels_to_measure_with():
    source = CalibrationSource(kind="dataset", place="digits", count=5)
    data = load_calibration(source, ((1, 3, 16, 16),), IMAGE)
    assert (len(data.samples), len(data.held), len(data.labels)) == (5, 5, 5)


@pytest.fixture
def labelled(tmp_path):
    """Twelve images of an ``.npz`` that are labelled by their places in it."""
    images = np.random.default_rng(0).random((12, 3, 12, 12), np.float32)
    np.savez(tmp_path / "fed.npz", input_0=images, labels=np.arange(12))
    return tmp_path / "fed.npz", images


def test_an_npz_gives_what_the_network_is_fed(labelled):
    path, images = labelled
    data = load(path)
    assert (len(data.samples), len(data.labels)) == (9, 3)
    for (image,), label in zip(data.held, data.labels, strict=True):
        assert np.array_equal(image.numpy(), images[label : label + 1])


def test_the_seed_chooses_the_samples_of_an_npz(labelled):
    """Of one that is sorted by class, the first are all of one class."""
    path, _ = labelled
    chosen = [load(parse_calibration(str(path), count=4, seed=s)).labels for s in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert set(chosen[0]) != set(range(4, 7))


def test_labels_of_batches_stay_with_their_images(labelled):
    path, images = labelled
    data = load_calibration(parse_calibration(str(path)), ((5, 3, 12, 12),), IMAGE)
    assert (len(data.samples), len(data.held)) == (1, 1)  # two images fill no batch
    assert np.array_equal(data.held[0][0].numpy(), images[list(data.labels)])


def test_images_to_choose_with_are_none_of_the_others(pictures):
    source = parse_calibration(str(pictures), count=2)
    data = load(source, choosing=True)
    parts = data.samples, data.held, data.choosing
    assert list(map(len, parts)) == [2, 2, 4]
    everything = torch.cat([x for part in parts for (x,) in part])
    assert len(everything.flatten(1).unique(dim=0)) == 8
    assert source.digest() != source.digest(choosing=True)


def test_where_no_image_is_spare_those_of_the_calibration_choose(pictures):
    data = load(pictures, choosing=True)
    assert data.choosing == data.samples


def test_labels_go_with_the_images_to_choose_with(labelled):
    path, images = labelled
    data = load(parse_calibration(str(path), count=2), choosing=True)
    assert len({*data.labels, *data.choosing_labels}) == 2 + 8
    first = data.choosing_labels[0]
    assert np.array_equal(data.choosing[0][0].numpy(), images[first : first + 1])
    digits = CalibrationSource(kind="dataset", place="digits", count=3)
    data = load_calibration(digits, ((1, 3, 16, 16),), IMAGE, choosing=True)
    assert (len(data.samples), len(data.choosing), len(data.choosing_labels)) == (3, 12, 12)


def test_images_are_fed_as_the_type_that_the_network_takes(pictures):
    data = load(pictures, image={}, value_range=(0.0, 255.0), dtypes=("uint8",))
    assert data.samples[0][0].dtype == data.held[0][0].dtype == torch.uint8


def test_noise_says_that_it_is_noise():
    data = load("synthetic")
    assert (len(data.samples), len(data.held)) == (64, 32)
    assert parse_calibration("synthetic").label == "SYNTHETIC NOISE"


def test_a_batch_is_filled(pictures):
    data = load_calibration(parse_calibration(str(pictures)), ((4, 3, 12, 12),), IMAGE)
    assert [len(x) for (x,) in data.samples] == [4, 4]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds 0 images"):
        load(tmp_path)


def test_a_folder_that_is_called_like_an_image_is_none(pictures):
    (pictures / "old.png").mkdir()
    assert len(load(pictures).samples) == 6


def test_one_image_is_too_few(pictures):
    for path in list(pictures.rglob("*.png"))[1:]:
        path.unlink()
    with pytest.raises(DataError, match=r"holds 1 images .* give 2 or more"):
        load(pictures)


def test_an_unreadable_image_is_refused_by_name(pictures):
    (pictures / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.png cannot be read as an image"):
        load(pictures)


def test_images_that_are_all_one_colour_are_refused(tmp_path):
    from PIL import Image

    for i in range(3):
        Image.new("RGB", (12, 12), (128, 128, 128)).save(tmp_path / f"{i}.png")
    with pytest.raises(DataError, match=r"every value of every sample is .* tells no range"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"image": np.zeros((4, 3, 12, 12))}, "has no input_0; it has image"),
        ({"input_0": np.zeros((4, 3, 9, 12))}, r"of shape \(4, 3, 9, 12\); the network wants"),
        ({"input_0": np.ones((1, 3, 12, 12))}, "holds 1 samples"),
        ({"input_0": np.full((4, 3, 12, 12), np.nan)}, "values that are not finite"),
        ({**FED, "labels": np.arange(3)}, r"labels is int64 of shape \(3,\); give the number of"),
        ({**FED, "labels": np.array(list("abcd"))}, "labels is <U1 of shape"),
        ({**FED, "labels": np.arange(4) / 2}, "labels is float64 of shape"),
        ({**FED, "labels": np.eye(4, dtype=int)}, r"labels is int64 of shape \(4, 4\)"),
        ({**FED, "labels": np.arange(4) - 1}, r"of shape \(4,\), some of it negative; give"),
        ({"input_0": np.full((4, 3, 12, 12), 7.0)}, "every value of every sample is 7, which"),
        ({"input_0": np.full((4, 3, 12, 12), "a")}, "input_0 is <U1; give numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, line):
    np.savez(tmp_path / "fed.npz", **arrays)
    with pytest.raises(DataError, match=line):
        load(tmp_path / "fed.npz")


@pytest.mark.parametrize("place", range(4))
def test_a_value_that_is_not_finite_is_refused_in_whichever_part_it_is(tmp_path, place):
    images = FED["input_0"].copy()
    images[place, 0, 0, 0] = np.inf
    np.savez(tmp_path / "fed.npz", input_0=images)
    with pytest.raises(DataError, match="values that are not finite"):
        load(tmp_path / "fed.npz")


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "fed.npz").write_text("text")
    with pytest.raises(DataError, match=r"cannot be read as an \.npz"):
        load(tmp_path / "fed.npz")


def test_an_array_without_a_name_is_refused(tmp_path):
    with (tmp_path / "fed.npz").open("wb") as file:
        np.save(file, FED["input_0"])
    with pytest.raises(DataError, match=r"cannot be read as an \.npz: it is one array without"):
        load(tmp_path / "fed.npz")


def test_inputs_of_other_counts_are_refused(tmp_path):
    np.savez(tmp_path / "fed.npz", **FED, input_1=np.random.default_rng(0).random((3, 1, 5)))
    source = parse_calibration(str(tmp_path / "fed.npz"))
    with pytest.raises(DataError, match="holds 3 and 4 samples; give equally many of every input"):
        load_calibration(source, (*SHAPES, (1, 5)), IMAGE)


def test_images_for_a_network_that_takes_none_are_refused(pictures):
    with pytest.raises(DataError, match="holds images and the network takes"):
        load_calibration(parse_calibration(str(pictures)), ((1, 7),), IMAGE)


@pytest.mark.parametrize("text", ["nowhere", "digits", "list.txt"])
def test_a_source_that_is_nothing_of_the_kind_is_refused(text):
    with pytest.raises(SpecError, match="give a folder of images, dataset:NAME"):
        parse_calibration(text)


def test_an_unknown_data_set_is_refused_with_the_nearest_name():
    with pytest.raises(SpecError, match="did you mean 'digits'"):
        load(CalibrationSource(kind="dataset", place="digit"))
