"""What happens to an image before it is batched: uint8 in, uint8 out.

Each function takes the side of the images in pixels and returns a transform; the figures are
those of the paper's reference at its own sides (32 and 224) and scale with the side. The last
step, from uint8 to normalised floats, runs once a batch on the device: `Normalise`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from pfd_models.zoo.spec import InputSpec

__all__ = [
    "Normalise",
    "centre",
    "centre_of_square",
    "cut_and_flip",
    "cut_from_square",
    "shift",
    "shift_and_flip",
    "whole",
]


def whole(side: int) -> v2.Transform:
    """Return the image as it is, resized where it has another size."""
    return v2.Compose([_Fit(side), v2.PILToTensor()])


def shift(side: int) -> v2.Transform:
    """Return a random window of the image with a black border of 4 pixels (at 32)."""
    return v2.Compose([_Fit(side), v2.RandomCrop(side, padding=_border(side)), v2.PILToTensor()])


def shift_and_flip(side: int) -> v2.Transform:
    """Return `shift`, mirrored half the time: both recipes' CIFAR-100."""
    crop = v2.RandomCrop(side, padding=_border(side))
    return v2.Compose([_Fit(side), crop, v2.RandomHorizontalFlip(), v2.PILToTensor()])


def cut_and_flip(side: int) -> v2.Transform:
    """Return a random cut of random size and aspect, mirrored half the time: VegFru."""
    return v2.Compose(
        [v2.RandomResizedCrop(side), v2.RandomHorizontalFlip(), v2.PILToTensor()],
    )


def centre(side: int) -> v2.Transform:
    """Return the centre after resizing the shorter side to 256 (at 224): VegFru."""
    return v2.Compose([v2.Resize(_larger(side)), v2.CenterCrop(side), v2.PILToTensor()])


def cut_from_square(side: int) -> v2.Transform:
    """Return a window of the image squeezed to 256x256 (at 224), mirrored, dimmed: Dogs."""
    return v2.Compose(
        [
            v2.Resize((_larger(side), _larger(side))),
            v2.RandomCrop(side),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.4),
            v2.PILToTensor(),
        ]
    )


def centre_of_square(side: int) -> v2.Transform:
    """Return the centre of the image squeezed to 256x256 (at 224): Dogs."""
    return v2.Compose(
        [v2.Resize((_larger(side), _larger(side))), v2.CenterCrop(side), v2.PILToTensor()]
    )


def _larger(side: int) -> int:
    return round(side * 256 / 224)


def _border(side: int) -> int:
    return max(1, side // 8)


class _Fit(nn.Module):
    """Resize to side x side, and cost nothing where that is the size."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.resize = v2.Resize((side, side))

    def forward(self, image: object) -> object:
        """Return the image with the wanted size."""
        height, width = v2.functional.get_size(image)
        return image if height == width == self.side else self.resize(image)


class Normalise(nn.Module):
    """Scale pixels to 0..1, then subtract the mean and divide by the deviation.

    Args:
        spec: The network's input; its mean and deviation are 0 and 1 where the network
            normalises by itself.

    Shape:
        uint8 (N, C, H, W) -> float32, the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        column = (1, spec.channels, 1, 1)
        self.register_buffer("mean", torch.tensor(spec.mean).view(column), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(column), persistent=False)
        self.is_plain = set(spec.mean) == {0.0} and set(spec.std) == {1.0}

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise a batch."""
        scaled = pixels.to(torch.float32).div_(255)
        return scaled if self.is_plain else scaled.sub_(self.mean).div_(self.std)
