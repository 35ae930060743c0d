"""Each data set in its own file format, and each way it can be wrong."""

import importlib
import pickle
import shutil
import sys

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from pfd_models import DATASETS
from pfd_models.errors import DataError, SpecError
from pfd_models.training import datasets
from pfd_models.training.datasets import find_image_set, list_image_sets, open_splits


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


# ---- names ----


def test_every_file_is_a_data_set_and_names_a_shape_of_the_networks():
    assert list_image_sets() == (
        "cifar10",
        "cifar100",
        "digits",
        "imagefolder",
        "imagenet",
        "stanford_dogs",
        "vegfru292",
    )
    for name in list_image_sets():
        own, data = find_image_set(name)
        assert own == name
        shape = DATASETS[data.shape]
        assert data.num_classes in (None, shape.num_classes, 10)
        assert data.source


@pytest.mark.parametrize(
    ("spelled", "name"),
    [("Imagenet", "imagenet"), ("dogs", "stanford_dogs"), ("VEGFRU", "vegfru292")],
)
def test_the_references_spellings_are_understood(spelled, name):
    assert find_image_set(spelled)[0] == name


def test_an_unknown_name_says_the_nearest():
    with pytest.raises(SpecError, match="unknown data set 'cifar1000': did you mean 'cifar100'"):
        find_image_set("cifar1000")


def test_a_data_set_is_one_file(pictures, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from pfd_models.training.datasets.imagefolder import DATA  # the same under another name\n"
    )
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    assert "mine" in list_image_sets()
    pictures.make_folders(tmp_path / "data")
    assert len(open_splits("mine", tmp_path / "data").classes) == 3
    monkeypatch.delitem(sys.modules, "pfd_models.training.datasets.mine")


# ---- CIFAR ----


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_is_fetched_checked_and_unpacked(publish_cifar, tmp_path, classes):
    publish_cifar(classes, train=3, test=2)
    splits = open_splits(f"cifar{classes}", tmp_path / "root", download=True)
    assert len(splits.train.labels) == 3 * classes
    assert len(splits.val.labels) == 2 * classes
    assert splits.classes[:2] == ("word0", "word1")
    kind = getattr(torchvision.datasets, f"CIFAR{classes}")
    theirs = kind(str(tmp_path / "root"), train=True)
    for i in (0, 7):
        image, label = theirs[i]
        ours = splits.train.picture(i)
        assert ours.dtype == torch.uint8
        assert np.array_equal(ours.permute(1, 2, 0).numpy(), np.asarray(image))
        assert splits.train.labels[i] == label


def test_an_archive_that_lies_there_needs_no_download(publish_cifar, tmp_path):
    archive = publish_cifar()
    (tmp_path / "root").mkdir()
    shutil.copy(archive, tmp_path / "root")
    archive.unlink()
    assert len(open_splits("cifar100", tmp_path / "root").train.labels) == 200


def test_a_root_without_the_archive_says_where_it_was_looked_for(publish_cifar, tmp_path):
    publish_cifar()
    with pytest.raises(DataError, match=r"cifar-100-python.tar.gz is missing; .*--download") as e:
        open_splits("cifar100", tmp_path / "empty")
    one_line(e)
    with pytest.raises(DataError, match=r"cifar100 needs the folder .*--data-root"):
        open_splits("cifar100", None)


def test_a_broken_archive_is_named_with_both_checksums(publish_cifar, tmp_path):
    archive = publish_cifar()
    data = bytearray(archive.read_bytes())
    data[100] ^= 1
    (tmp_path / archive.name).write_bytes(data)
    with pytest.raises(DataError, match=r"tar.gz is damaged .* MD5 is \w{32}, published is \w{32}"):
        open_splits("cifar100", tmp_path)


def test_a_flipped_bit_in_an_unpacked_file_is_caught(publish_cifar, tmp_path):
    publish_cifar()
    open_splits("cifar100", tmp_path, download=True)
    file = tmp_path / "cifar-100-python" / "test"
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match="cifar-100-python is damaged"):
        open_splits("cifar100", tmp_path)


def test_a_download_that_fails_says_the_address(publish_cifar, tmp_path):
    archive = publish_cifar()
    archive.unlink()
    with pytest.raises(DataError, match=f"cannot fetch http://127.*/{archive.name}: ") as e:
        open_splits("cifar100", tmp_path / "root", download=True)
    one_line(e)


def _without(label):
    def change(files):
        entry = pickle.loads(files["test"])
        entry["fine_labels"] = [0 if c == label else c for c in entry["fine_labels"]]
        return files | {"test": pickle.dumps(entry)}

    return change


def test_a_class_without_images_is_named_with_its_split(publish_cifar, tmp_path):
    publish_cifar(change=_without(41))
    with pytest.raises(
        DataError, match="validation split of cifar100 has no image of class 'word41'"
    ):
        open_splits("cifar100", tmp_path, download=True)


def test_a_label_out_of_range_is_named(publish_cifar, tmp_path):
    def change(files):
        entry = pickle.loads(files["train"])
        entry["fine_labels"][0] = 100
        return files | {"train": pickle.dumps(entry)}

    publish_cifar(change=change)
    with pytest.raises(DataError, match="training split of cifar100 has a label 100"):
        open_splits("cifar100", tmp_path, download=True)


# ---- folders ----


def test_folders_give_every_image_with_its_class(folders, pictures):
    splits = open_splits("imagefolder", folders)
    assert splits.classes == ("class0000", "class0001", "class0002")
    assert splits.train.labels == [0] * 6 + [1] * 6 + [2] * 6
    assert len(splits.val.labels) == 15
    assert np.array_equal(np.asarray(splits.train.picture(7)), np.asarray(pictures.picture(7)))


def test_an_unreadable_image_is_named(folders, tmp_path):
    root = shutil.copytree(folders, tmp_path / "copy")
    broken = root / "train" / "class0001" / "2.png"
    broken.write_bytes(broken.read_bytes()[:200])
    split = open_splits("imagefolder", root).train
    with pytest.raises(DataError, match=r"cannot read the image .*class0001/2.png: ") as e:
        split.picture(8)
    one_line(e)
    broken.write_text("not an image")
    with pytest.raises(DataError, match=r"class0001/2.png"):
        split.picture(8)
    broken.unlink()
    with pytest.raises(DataError, match=r"class0001/2.png"):
        split.picture(8)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_pictures_of_other_colours_become_rgb(folders, pictures, tmp_path, mode):
    root = shutil.copytree(folders, tmp_path / "copy")
    pictures.save(root / "train" / "class0000" / "0.jpg", 1, mode=mode)
    image = open_splits("imagefolder", root).train.picture(0)
    assert isinstance(image, Image.Image)
    assert image.mode == "RGB"


def test_folders_that_are_missing_or_differ_are_named(folders, tmp_path):
    with pytest.raises(DataError, match=r"train is missing; --data-root must hold train/ and val/"):
        open_splits("imagefolder", tmp_path)
    root = shutil.copytree(folders, tmp_path / "copy")
    shutil.rmtree(root / "val" / "class0002")
    with pytest.raises(DataError, match="val has no folder 'class0002'"):
        open_splits("imagefolder", root)
    (root / "val" / "class0002").mkdir()
    with pytest.raises(DataError, match=r"validation split .* no image of class 'class0002'"):
        open_splits("imagefolder", root)


def test_vegfru_must_have_its_292_classes(folders, pictures, tmp_path):
    with pytest.raises(DataError, match="has 3 classes, vegfru292 has 292"):
        open_splits("vegfru292", folders)
    root = pictures.make_folders(tmp_path / "vegfru", classes=292, train=1, val=1, side=4)
    assert len(open_splits("vegfru", root).classes) == 292


# ---- ImageNet ----


def test_imagenet_unpacks_its_archives_and_labels_by_wordnet_number(publish_imagenet):
    splits = open_splits("imagenet", publish_imagenet)
    assert splits.classes[0] == "n00000001"
    assert splits.train.labels == list(range(1000))
    assert splits.val.paths[0].endswith("n00000001/ILSVRC2012_val_00001000.JPEG")
    assert splits.val.labels == list(range(1000))
    # Folders alone, as many keep them, have the same labels.
    (publish_imagenet / "meta.bin").unlink()
    again = open_splits("imagenet", publish_imagenet)
    assert again.train.labels == splits.train.labels
    assert again.val.paths == splits.val.paths


def test_imagenet_says_which_archive_is_missing_or_damaged(publish_imagenet):
    train = publish_imagenet / "ILSVRC2012_img_train.tar"
    data = train.read_bytes()
    train.write_bytes(data[:-1000])
    with pytest.raises(DataError, match=r"ILSVRC2012_img_train.tar is damaged .* publisher"):
        open_splits("imagenet", publish_imagenet)
    train.unlink()
    with pytest.raises(DataError, match=r"ILSVRC2012_img_train.tar is missing"):
        open_splits("imagenet", publish_imagenet, download=True)
    (publish_imagenet / "ILSVRC2012_devkit_t12.tar.gz").unlink()
    with pytest.raises(DataError, match=r"ILSVRC2012_devkit_t12.tar.gz is missing"):
        open_splits("imagenet", publish_imagenet)


# ---- Stanford Dogs ----


def test_dogs_are_fetched_and_read_by_their_lists(publish_dogs, tmp_path):
    publish_dogs()
    splits = open_splits("dogs", tmp_path / "root", download=True)
    assert len(splits.classes) == 120
    assert splits.classes[0] == "n02085620"
    assert splits.train.labels == [c for c in range(120) for _ in range(2)]
    assert len(splits.val.labels) == 120
    assert splits.train.picture(0).size == (28, 24)


def test_dogs_without_archives_or_with_short_lists_say_so(publish_dogs, tmp_path, monkeypatch):
    home = publish_dogs()
    with pytest.raises(DataError, match=r"images.tar is missing; get it with --download"):
        open_splits("stanford_dogs", tmp_path / "root")
    counts = {"train_list.mat": 12_000, "test_list.mat": 120}
    monkeypatch.setattr("pfd_models.training.datasets.stanford_dogs._COUNTS", counts)
    with pytest.raises(DataError, match=r"train_list.mat lists 240 images, published are 12000"):
        open_splits("stanford_dogs", home)
    (home / "test_list.mat").write_text("no list")
    (home / "train_list.mat").write_text("no list")
    with pytest.raises(DataError, match=r"train_list.mat is missing or is no list") as e:
        open_splits("stanford_dogs", home)
    one_line(e)


def test_the_published_dogs_are_those_of_the_paper():
    from pfd_models.training.datasets import stanford_dogs

    assert stanford_dogs._COUNTS == {"train_list.mat": 12_000, "test_list.mat": 8_580}
    assert {a.file: a.md5 for a in stanford_dogs._ARCHIVES.values()} == {
        "images.tar": "1bb1f2a596ae7057f99d7d75860002ef",
        "lists.tar": "edbb9f16854ec66506b5f09b583e0656",
    }


# ---- digits ----


def test_digits_are_scikit_learns_and_no_image_is_on_both_sides():
    splits = open_splits("digits", None)
    assert (len(splits.train.labels), len(splits.val.labels)) == (1437, 360)
    found = load_digits()
    assert [*splits.train.labels, *splits.val.labels] == found.target.tolist()
    first = splits.train.picture(0)
    assert first.shape == (3, 8, 8)
    assert first.max() <= 255
    assert np.allclose(
        first[1].double().numpy() * 16 / 255, found.images[0], atol=16 / 255 / 2 + 1e-9
    )
    assert len(set(found.target[:1437])) == len(set(found.target[1437:])) == 10


def test_an_absent_package_is_one_line_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"pip install 'pfd-mobile\[train\]'"):
        open_splits("digits", None)
