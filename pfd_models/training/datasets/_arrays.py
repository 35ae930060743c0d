"""Splits that lie in memory as one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["ArraySplit"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArraySplit:
    """Images of one size in memory.

    Attributes:
        pixels: uint8, (N, 3, height, width).
        labels: N classes.
    """

    pixels: Tensor
    labels: Sequence[int]

    def picture(self, index: int) -> Tensor:
        """Return an image, uint8 (3, height, width)."""
        return self.pixels[index]
