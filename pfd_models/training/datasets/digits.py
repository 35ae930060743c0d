"""scikit-learn's digits: 1,797 real 8x8 images inside the package. For smoke runs only."""

from __future__ import annotations

from pathlib import Path

import torch

from pfd_models.errors import DataError
from pfd_models.training.datasets import ImageSet, Splits
from pfd_models.training.datasets._arrays import ArraySplit
from pfd_models.training.transforms import shift, whole

_BRIGHTEST = 16  # a pixel of the set counts the set pixels of a 4x4 block
_TRAIN = 1437  # four fifths, in the set's own order, which goes writer by writer


def _open(root: Path, download: bool) -> Splits:
    del root, download  # it comes with scikit-learn
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # no stubs
    except ImportError as error:
        raise DataError(
            "digits come with scikit-learn, which is not installed; pip install 'pfd-mobile[train]'"
        ) from error
    found = load_digits()
    grey = torch.from_numpy(found.images).mul(255 / _BRIGHTEST).round().to(torch.uint8)
    pixels = grey[:, None].repeat(1, 3, 1, 1)
    labels = found.target.tolist()
    return Splits(
        train=ArraySplit(pixels=pixels[:_TRAIN], labels=labels[:_TRAIN]),
        val=ArraySplit(pixels=pixels[_TRAIN:], labels=labels[_TRAIN:]),
        classes=tuple(map(str, found.target_names)),
    )


DATA = ImageSet(
    open=_open,
    shape="cifar100",
    num_classes=10,
    augment=shift,  # a mirrored digit is another sign
    prepare=whole,
    source="scikit-learn, load_digits: the test set of UCI's Optical Recognition of Handwritten "
    "Digits; split and transforms are this project's",
    needs_root=False,
)
