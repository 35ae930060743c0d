"""ILSVRC 2012: 1,000 classes. Not to be fetched by a program: it must be asked for."""

from __future__ import annotations

import tarfile
from pathlib import Path

from torchvision import datasets
from torchvision.datasets import imagenet as ilsvrc

from pfd_models.errors import DataError
from pfd_models.files import output_errors
from pfd_models.training.datasets import ImageSet, Splits
from pfd_models.training.datasets._archives import Archive, check_archive
from pfd_models.training.datasets._folders import open_folders, split_of
from pfd_models.training.transforms import centre, cut_and_flip


def _open(root: Path, download: bool) -> Splits:
    """Open the published archives, or folders train/ and val/ named by WordNet numbers.

    The labels are the same either way: the WordNet numbers' order.
    """
    del download  # its publishers ask who takes it
    unpacked = (root / "train").is_dir() and (root / "val").is_dir()
    if unpacked and not (root / ilsvrc.META_FILE).is_file():
        return open_folders(root)
    for part in ("devkit", "train", "val"):
        folder = root / (part if part != "devkit" else ilsvrc.META_FILE)
        if not folder.exists():
            name, md5 = ilsvrc.ARCHIVE_META[part]
            check_archive(root, Archive(file=name, md5=md5))
    try:
        with output_errors(root):
            train, val = (datasets.ImageNet(str(root), split=s) for s in ("train", "val"))
    except (RuntimeError, tarfile.TarError, EOFError) as error:
        raise DataError(
            f"{root} does not unpack as ILSVRC 2012: {str(error).splitlines()[0]}; delete train/, "
            f"val/ and {ilsvrc.META_FILE} and call again"
        ) from error
    return Splits(train=split_of(train), val=split_of(val), classes=tuple(train.wnids))


DATA = ImageSet(
    open=_open,
    shape="imagenet",
    num_classes=1000,
    augment=cut_and_flip,
    prepare=centre,
    source="https://image-net.org/challenges/LSVRC/2012; the paper gives no recipe for it, the "
    "transforms are the usual ones",
)
