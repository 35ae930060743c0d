"""Any folder with train/ and val/, each with a folder a class."""

from __future__ import annotations

from pathlib import Path

from pfd_models.training.datasets import ImageSet, Splits
from pfd_models.training.datasets._folders import open_folders
from pfd_models.training.transforms import centre, cut_and_flip


def _open(root: Path, download: bool) -> Splits:
    del download  # nobody publishes it
    return open_folders(root)


DATA = ImageSet(
    open=_open,
    shape="imagenet",
    num_classes=None,
    augment=cut_and_flip,
    prepare=centre,
    source="the user's; transforms of the paper's VegFru recipe",
)
