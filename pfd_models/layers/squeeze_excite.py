"""Squeeze-and-excitation. Paper: Squeeze-and-Excitation Networks - https://arxiv.org/abs/1709.01507."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SqueezeExcite", "global_mean"]


def global_mean(x: Tensor) -> Tensor:
    """Return the mean over the map, (N, C, H, W) -> (N, C, 1, 1)."""
    return functional.adaptive_avg_pool2d(x, 1)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the channels' means.

    The gate is ``hardsigmoid(expand(relu(reduce(mean(x)))))``, both 1x1 convolutions with bias.

    Args:
        channels: Of the map.
        squeezed: Channels between the two convolutions; how it is rounded is the family's choice.
        pool: Takes the means; None takes a pooling layer. A function such as `global_mean`
            computes the same, but the paper's counters see only layers, so a family follows the
            network that they were run on.

    Shape:
        (N, channels, H, W) -> the same.
    """

    def __init__(
        self, channels: int, squeezed: int, *, pool: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1) if pool is None else pool
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Gate the channels."""
        gate: Tensor = self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
        return x * gate
