"""CIFAR-100: 50,000 + 10,000 images of 32x32 in 100 classes."""

from __future__ import annotations

from pathlib import Path

from torchvision import datasets

from pfd_models.training.datasets import ImageSet, Splits
from pfd_models.training.datasets._cifar import open_cifar
from pfd_models.training.transforms import shift_and_flip, whole


def _open(root: Path, download: bool) -> Splits:
    return open_cifar(datasets.CIFAR100, root, download=download)


DATA = ImageSet(
    open=_open,
    shape="cifar100",
    num_classes=100,
    augment=shift_and_flip,
    prepare=whole,
    source="https://www.cs.toronto.edu/~kriz/cifar.html; transforms of both sets of the paper",
)
