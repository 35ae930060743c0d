"""Position-aware circular convolution.

Paper: ParC-Net: Position Aware Circular Convolution with Merits from ConvNets and Transformer -
https://arxiv.org/abs/2203.03952.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pfd_models.errors import SpecError

__all__ = ["ParCOperator"]


class ParCOperator(nn.Module):
    """Depthwise circular convolution over a whole column or row.

    The map is continued by itself without its last row (column), so that an unpadded kernel as
    long as the map gives every position the whole column (row), starting at itself.

    Args:
        channels: Of the map.
        length: Rows (axis "height") or columns (axis "width") of the map; the kernel's length.
        axis: Along which to convolve.
        embed_position: Add a learned embedding of the position along the axis first.

    Shape:
        (N, channels, H, W) with H (axis "height") or W (axis "width") equal to length -> the same.
    """

    def __init__(
        self,
        channels: int,
        length: int,
        *,
        axis: Literal["height", "width"],
        embed_position: bool,
    ) -> None:
        super().__init__()
        self.dim = 2 if axis == "height" else 3
        self.length = length
        shape = (length, 1) if axis == "height" else (1, length)
        self.position: nn.Parameter | None = None
        if embed_position:
            self.position = nn.Parameter(torch.empty(1, channels, *shape))
            nn.init.trunc_normal_(self.position, std=0.02)  # std: ParC-Net's published code
        self.conv = nn.Conv2d(channels, channels, shape, groups=channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve circularly along the axis.

        Raises:
            SpecError: The map has another length than the operator was built for.
        """
        if x.shape[self.dim] != self.length:
            raise SpecError(
                f"a circular convolution of length {self.length} got a map of {x.shape[2]}x"
                f"{x.shape[3]}; build the model with the resolution of its images"
            )
        if self.position is not None:
            x = x + self.position
        if self.length > 1:
            x = torch.cat([x, x.narrow(self.dim, 0, self.length - 1)], dim=self.dim)
        convolved: Tensor = self.conv(x)
        return convolved
