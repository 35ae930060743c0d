"""Data sets. A data set's name is its file's name in this folder; nothing else lists them.

A data-set file has one constant, ``DATA``, an `ImageSet`; files with a leading underscore are
shared machinery. The networks' data-set shapes (`pfd_models.DATASETS`) are the paper's; a set
that the paper does not have says whose shape its networks take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pfd_models.discovery import import_file, list_files
from pfd_models.errors import DataError, SpecError, unknown

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

__all__ = [
    "ImageSet",
    "Picture",
    "Split",
    "Splits",
    "Transform",
    "find_image_set",
    "list_image_sets",
    "open_splits",
]

Picture: TypeAlias = "Image | Tensor"
"""A PIL image, or a uint8 tensor (3, height, width)."""

Transform: TypeAlias = Callable[[Any], Any]
"""From a `Picture` to a uint8 tensor (3, side, side)."""


class Split(Protocol):
    """Labelled images, in a fixed order."""

    @property
    def labels(self) -> Sequence[int]:
        """Return each image's class, from 0."""

    def picture(self, index: int) -> Picture:
        """Return an image in RGB.

        Raises:
            DataError: It cannot be read; the line names the file.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """A data set that was opened.

    Attributes:
        train: The images to learn from.
        val: The images to be measured on.
        classes: The classes' names, in the labels' order.
    """

    train: Split
    val: Split
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """What a data-set file says about its set.

    Attributes:
        open: From root folder and the wish to download to the splits.
        shape: The data-set shape that networks for it are made for.
        num_classes: Number of classes; None where the folders decide.
        augment: From the images' side in pixels to the transform of training images.
        prepare: Likewise, of validation images.
        source: Publication, and where the transforms come from.
        needs_root: Whether a root folder must be given.
        aliases: Other names for it.
    """

    open: Callable[[Path, bool], Splits]
    shape: str
    num_classes: int | None
    augment: Callable[[int], Transform]
    prepare: Callable[[int], Transform]
    source: str
    needs_root: bool = True
    aliases: tuple[str, ...] = ()


def list_image_sets() -> tuple[str, ...]:
    """Return the names of all data sets, sorted."""
    return list_files(__name__)


def find_image_set(name: str) -> tuple[str, ImageSet]:
    """Return a data set's own name and what its file says.

    Raises:
        SpecError: There is none; the line names the nearest.
    """
    lowered = name.lower()
    for own in list_image_sets():
        data: ImageSet = import_file(__name__, own).DATA
        if lowered in (own, *data.aliases):
            return own, data
    raise SpecError(unknown("data set", name, list_image_sets()))


def open_splits(name: str, root: Path | None, *, download: bool = False) -> Splits:
    """Open a data set and hold it to what it should be.

    Args:
        name: Of the data set.
        root: The folder that holds it, or will after the download.
        download: Fetch what is missing, where the set may be fetched, and check its MD5.

    Raises:
        SpecError: No such data set.
        DataError: It is absent or damaged, has another number of classes, or a class without
            images.
    """
    name, data = find_image_set(name)
    if root is None:
        if data.needs_root:
            raise DataError(f"{name} needs the folder that holds it: --data-root FOLDER")
        root = Path()
    splits = data.open(root, download)
    found = len(splits.classes)
    if data.num_classes not in (None, found):
        raise DataError(f"{root} has {found} classes, {name} has {data.num_classes}")
    for title, split in (("training", splits.train), ("validation", splits.val)):
        counts = Counter(split.labels)
        if strange := sorted(set(counts) - set(range(found))):
            raise DataError(
                f"the {title} split of {name} has a label {strange[0]}, its classes are 0 to "
                f"{found - 1}; is the archive the right one?"
            )
        if empty := [splits.classes[i] for i in range(found) if not counts[i]]:
            raise DataError(
                f"the {title} split of {name} has no image of class {empty[0]!r}"
                + (f" and {len(empty) - 1} more" if empty[1:] else "")
                + f"; complete {root} or take the class away"
            )
    return splits
