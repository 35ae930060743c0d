"""CIFAR's pickled batches, through torchvision's classes."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision import datasets

from pfd_models.errors import DataError
from pfd_models.training.datasets import Splits
from pfd_models.training.datasets._archives import Archive, fetch
from pfd_models.training.datasets._arrays import ArraySplit

__all__ = ["open_cifar"]


def open_cifar(kind: type[datasets.CIFAR10], root: Path, *, download: bool) -> Splits:
    """Open CIFAR-10 or CIFAR-100; an archive that lies there is unpacked.

    Args:
        kind: torchvision's class, which knows the files' checksums.
        root: The folder that holds the archive or the unpacked folder.
        download: Fetch the archive if it is not there.

    Raises:
        DataError: It is missing, or a file's MD5 is not the published one.
    """
    if not _is_unpacked(kind, root):
        archive = Archive(file=kind.filename, md5=kind.tgz_md5, url=kind.url)
        fetch(root, archive, download=download)
    try:
        train, test = (kind(str(root), train=train) for train in (True, False))
    except RuntimeError as error:
        raise DataError(
            f"{root / kind.base_folder} is damaged: a file's MD5 is not the published one; delete "
            "the folder and call again"
        ) from error
    return Splits(train=_split(train), val=_split(test), classes=tuple(train.classes))


def _is_unpacked(kind: type[datasets.CIFAR10], root: Path) -> bool:
    names = [name for name, _ in (*kind.train_list, *kind.test_list)]
    return all((root / kind.base_folder / n).is_file() for n in (*names, kind.meta["filename"]))


def _split(found: datasets.CIFAR10) -> ArraySplit:
    pixels = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return ArraySplit(pixels=pixels, labels=list(found.targets))
