"""Small data sets in the very file formats of the published ones."""

import functools
import hashlib
import http.server
import io
import pickle
import tarfile
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import imagenet as ilsvrc

from pfd_models.training.datasets import stanford_dogs
from pfd_models.training.datasets._archives import Archive


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def md5(data):
    return hashlib.md5(data).hexdigest()


def picture(number, side=40, mode="RGB"):
    """A picture of its own for each number."""
    shape = (side, side + 4, 3)
    pixels = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def save_picture(path, number, side=40, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number, side, mode).save(path)


def make_folders(root, classes=3, train=6, val=5, side=40, suffix="png"):
    """train/ and val/ with a folder a class."""
    number = 0
    for split, count in (("train", train), ("val", val)):
        for c in range(classes):
            for i in range(count):
                save_picture(root / split / f"class{c:04d}" / f"{i}.{suffix}", number, side)
                number += 1
    return root


@pytest.fixture(scope="session")
def pictures():
    """The makers above, for tests that need sets of their own."""
    return SimpleNamespace(make_folders=make_folders, picture=picture, save=save_picture)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """18 + 15 pictures in 3 classes; do not write into it."""
    return make_folders(tmp_path_factory.mktemp("folders"))


def add_file(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def tar_of(files, mode="w"):
    """A tar archive as bytes, from name to content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in files.items():
            add_file(tar, name, data)
    return buffer.getvalue()


def cifar_files(kind, classes, train, test):
    """CIFAR's files, name to content, with `train` and `test` images a class."""
    fine = "fine_labels" if classes == 100 else "labels"
    generator = np.random.default_rng(classes)

    def batch(labels):
        pixels = generator.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        return pickle.dumps({"data": pixels, fine: list(labels)})

    names = [name for name, _ in kind.train_list]
    parts = np.array_split(np.arange(classes * train) % classes, len(names))
    files = {name: batch(part.tolist()) for name, part in zip(names, parts, strict=True)}
    files[kind.test_list[0][0]] = batch([i % classes for i in range(classes * test)])
    words = [f"word{i}" for i in range(classes)]
    files[kind.meta["filename"]] = pickle.dumps({kind.meta["key"]: words})
    return files


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A real web server over a folder `home`; returns the folder and its address."""
    home = tmp_path / "published"
    home.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = functools.partial(_Quiet, directory=str(home))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield home, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def publish_cifar(serve, monkeypatch):
    """Publish a small CIFAR: torchvision then knows its address and checksums."""

    def publish(classes=100, train=2, test=1, change=lambda files: files):
        kind = getattr(torchvision.datasets, f"CIFAR{classes}")
        files = change(cifar_files(kind, classes, train, test))
        data = tar_of({f"{kind.base_folder}/{n}": d for n, d in files.items()}, "w:gz")
        home, address = serve
        (home / kind.filename).write_bytes(data)
        lists = {
            which: [[name, md5(files[name])] for name, _ in getattr(kind, which)]
            for which in ("train_list", "test_list")
        }
        for name, value in lists.items():
            monkeypatch.setattr(kind, name, value)
        meta = kind.meta | {"md5": md5(files[kind.meta["filename"]])}
        monkeypatch.setattr(kind, "meta", meta)
        monkeypatch.setattr(kind, "tgz_md5", md5(data))
        monkeypatch.setattr(kind, "url", f"{address}/{kind.filename}")
        return home / kind.filename

    return publish


@pytest.fixture
def publish_dogs(serve, monkeypatch):
    """Publish small Stanford Dogs: archives, MATLAB lists, checksums and counts."""

    def publish(classes=120, train=2, test=1):
        breeds = [f"n{2085620 + i:08d}-breed{i}" for i in range(classes)]
        images, lists = {}, {"train_list": [], "test_list": [], "file_list": []}
        for c, breed in enumerate(breeds):
            for i in range(train + test):
                name = f"{breed}/{breed.split('-')[0]}_{i}.jpg"
                buffer = io.BytesIO()
                picture(c * 10 + i, 24).save(buffer, "JPEG")
                images[f"Images/{name}"] = buffer.getvalue()
                lists["train_list" if i < train else "test_list"].append(name)
                lists["file_list"].append(name)
        mats = {}
        for title, names in lists.items():
            column = np.empty((len(names), 1), dtype=object)
            column[:, 0] = names
            buffer = io.BytesIO()
            savemat(buffer, {"file_list": column})
            mats[f"{title}.mat"] = buffer.getvalue()
        home, address = serve
        archives = {}
        for made, file, content in (
            ("Images", "images.tar", images),
            ("train_list.mat", "lists.tar", mats),
        ):
            data = tar_of(content)
            (home / file).write_bytes(data)
            archives[made] = Archive(file=file, md5=md5(data), url=f"{address}/{file}")
        monkeypatch.setattr(stanford_dogs, "_ARCHIVES", archives)
        counts = {"train_list.mat": classes * train, "test_list.mat": classes * test}
        monkeypatch.setattr(stanford_dogs, "_COUNTS", counts)
        return home

    return publish


@pytest.fixture
def publish_imagenet(tmp_path, monkeypatch):
    """Lay down a small ILSVRC 2012 as its three archives and return their folder."""
    root = tmp_path / "ilsvrc"
    root.mkdir()
    numbers = [f"n{i:08d}" for i in range(1, 1001)]
    buffer = io.BytesIO()
    picture(0, 8).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    synsets = np.array(
        [(i + 1, n, f"word {i}, other", "gloss", 0) for i, n in enumerate(numbers)],
        dtype=[(k, object) for k in ("ID", "WNID", "words", "gloss", "num_children")],
    )
    mat = io.BytesIO()
    savemat(mat, {"synsets": synsets})
    truth = "".join(f"{1000 - i}\n" for i in range(1000)).encode()  # backwards, so order shows
    data = {
        "devkit": tar_of(
            {
                "ILSVRC2012_devkit_t12/data/meta.mat": mat.getvalue(),
                "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": truth,
            },
            "w:gz",
        ),
        "train": tar_of({f"{n}.tar": tar_of({f"{n}_1.JPEG": jpeg}) for n in numbers}),
        "val": tar_of({f"ILSVRC2012_val_{i + 1:08d}.JPEG": jpeg for i in range(1000)}),
    }
    meta = {part: (ilsvrc.ARCHIVE_META[part][0], md5(content)) for part, content in data.items()}
    for part, content in data.items():
        (root / meta[part][0]).write_bytes(content)
    monkeypatch.setattr(ilsvrc, "ARCHIVE_META", meta)
    return root
