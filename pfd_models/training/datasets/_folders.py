"""Splits whose images are files, one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torchvision.datasets import ImageFolder

from pfd_models.errors import DataError
from pfd_models.training.datasets import Splits

__all__ = ["FileSplit", "open_folders", "split_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileSplit:
    """Images in files.

    Attributes:
        paths: One file an image.
        labels: Its class.
    """

    paths: Sequence[str]
    labels: Sequence[int]

    def picture(self, index: int) -> Image.Image:
        """Return an image in RGB.

        Raises:
            DataError: The file is missing, damaged or no image.
        """
        path = self.paths[index]
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = str(error) if path not in str(error) else "it is no image or is missing"
            raise DataError(
                f"cannot read the image {path}: {reason}; replace it or take it out"
            ) from error


def split_of(folder: ImageFolder) -> FileSplit:
    """Return the files that torchvision found."""
    return FileSplit(paths=[path for path, _ in folder.samples], labels=folder.targets)


def open_folders(root: Path, names: tuple[str, str] = ("train", "val")) -> Splits:
    """Open a folder of two splits, each with a folder a class.

    Args:
        root: The folder.
        names: Of the folders of the training and of the validation images.

    Raises:
        DataError: A folder is missing, or the two do not have the same classes.
    """
    found = []
    for name in names:
        folder = root / name
        try:
            # An empty class is told with its split's name by open_splits.
            found.append(ImageFolder(str(folder), allow_empty=True))
        except OSError as error:
            what = "is missing" if not folder.is_dir() else "holds no folder of images"
            raise DataError(
                f"{folder} {what}; --data-root must hold {' and '.join(f'{n}/' for n in names)}, "
                "each with a folder a class"
            ) from error
    train, val = found
    if lacking := sorted(set(train.classes) ^ set(val.classes)):
        where = names[1] if lacking[0] in train.classes else names[0]
        raise DataError(
            f"{root / where} has no folder {lacking[0]!r}; {names[0]}/ and {names[1]}/ need the "
            "same classes"
        )
    return Splits(train=split_of(train), val=split_of(val), classes=tuple(train.classes))
