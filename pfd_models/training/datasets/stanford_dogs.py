"""Stanford Dogs: 12,000 + 8,580 photographs of 120 breeds."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pfd_models.errors import DataError
from pfd_models.training.datasets import ImageSet, Splits
from pfd_models.training.datasets._archives import Archive, fetch
from pfd_models.training.datasets._folders import FileSplit
from pfd_models.training.transforms import centre_of_square, cut_from_square

_HOME = "http://vision.stanford.edu/aditya86/ImageNetDogs"
_ARCHIVES = {  # the checksums are those that the BSConv library holds its downloads to
    "Images": Archive(
        file="images.tar", md5="1bb1f2a596ae7057f99d7d75860002ef", url=f"{_HOME}/images.tar"
    ),
    "train_list.mat": Archive(
        file="lists.tar", md5="edbb9f16854ec66506b5f09b583e0656", url=f"{_HOME}/lists.tar"
    ),
}
_COUNTS = {"train_list.mat": 12_000, "test_list.mat": 8_580}


def _open(root: Path, download: bool) -> Splits:
    for made, archive in _ARCHIVES.items():
        if not (root / made).exists():
            fetch(root, archive, download=download)
    classes = sorted({_breed(name) for name in _read_list(root / "file_list.mat")})
    train, test = (_split(root, name, classes) for name in _COUNTS)
    return Splits(train=train, val=test, classes=tuple(classes))


def _split(root: Path, name: str, classes: list[str]) -> FileSplit:
    files = _read_list(root / name)
    if len(files) != _COUNTS[name]:
        raise DataError(
            f"{root / name} lists {len(files)} images, published are {_COUNTS[name]}; delete the "
            "lists and unpack lists.tar again"
        )
    label = {breed: number for number, breed in enumerate(classes)}
    try:
        labels = [label[_breed(file)] for file in files]
    except KeyError as error:
        raise DataError(f"{root / name} lists a breed {error} that file_list.mat lacks") from error
    return FileSplit(paths=[str(root / "Images" / file) for file in files], labels=labels)


def _read_list(path: Path) -> list[str]:
    """Read the file names of a list, a column of texts called ``file_list``."""
    try:
        from scipy.io import loadmat, matlab  # type: ignore[import-untyped]  # SciPy has no stubs
    except ImportError as error:
        raise DataError(
            "the lists of Stanford Dogs need SciPy, which is not installed; "
            "pip install 'pfd-mobile[train]'"
        ) from error
    damage = (matlab.MatReadError, OSError, ValueError, KeyError, IndexError, TypeError)
    try:
        column = loadmat(path)["file_list"]
        return [str(cell.item()) for cell in column[:, 0]]
    except damage as error:
        raise DataError(
            f"{path} is missing or is no list of images; unpack lists.tar again"
        ) from error


def _breed(name: str) -> str:
    """Return the WordNet number before the first underscore of a file's name."""
    return PurePosixPath(name).name.partition("_")[0]


DATA = ImageSet(
    open=_open,
    shape="stanford_dogs",
    num_classes=120,
    augment=cut_from_square,
    prepare=centre_of_square,
    source=f"{_HOME}; transforms of the paper's reference",
    aliases=("dogs",),
)
