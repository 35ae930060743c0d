"""VegFru, all 292 classes, as folders train/ and val/. Not to be fetched by a program."""

from __future__ import annotations

from pathlib import Path

from pfd_models.training.datasets import ImageSet, Splits
from pfd_models.training.datasets._folders import open_folders
from pfd_models.training.transforms import centre, cut_and_flip


def _open(root: Path, download: bool) -> Splits:
    del download  # its publishers give it on request
    return open_folders(root)


DATA = ImageSet(
    open=_open,
    shape="vegfru292",
    num_classes=292,
    augment=cut_and_flip,
    prepare=centre,
    source="VegFru (ICCV 2017); folders and transforms of the paper's VegFru recipe",
    aliases=("vegfru",),
)
