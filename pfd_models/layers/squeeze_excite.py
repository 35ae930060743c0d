"""Squeeze-and-excitation. Paper: Squeeze-and-Excitation Networks - https://arxiv.org/abs/1709.01507."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SqueezeExcite"]


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the channels' means.

    The gate is ``hardsigmoid(expand(relu(reduce(mean(x)))))``, both 1x1 convolutions with bias.

    Args:
        channels: Of the map.
        squeezed: Channels between the two convolutions; how it is rounded is the family's choice.

    Shape:
        (N, channels, H, W) -> the same.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Gate the channels."""
        mean = functional.adaptive_avg_pool2d(x, 1)
        gate: Tensor = self.gate(self.expand(self.act(self.reduce(mean))))
        return x * gate
