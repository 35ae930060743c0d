"""Hybrid stem: a convolution whose result goes through a depthwise branch and a pooling branch.

Source: the padding-free downsampling paper, section on the stem block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pfd_models.layers.conv import Activation, depthwise, pointwise

__all__ = ["HybridStem"]


class HybridStem(nn.Module):
    """First convolution, then depthwise and max-pool branches side by side, fused by a 1x1.

    ``s = first(x); out = fuse(concat[branch(s), pool(s)])``, the depthwise branch first. Its
    batch normalisations have PyTorch's defaults in every network, also where the network's own
    have others.

    Args:
        channels: Of every convolution's output.
        act: Makes the activations.
        in_channels: Of the image.
        stride: Of the first convolution (padding 1): 1 at 32x32, 2 at 224x224.
        branch_stride: Of both branches: 2 where the stem also replaces a max pool.
        residual: Add the first convolution's result to the output; needs branch_stride 1.
        preactivation: Order normalisation, activation, convolution, with the first convolution
            bare: the order of pre-activation networks.

    Shape:
        (N, in_channels, H, W) -> (N, channels, H', W') with H' = ceil(H / stride / branch_stride).
    """

    def __init__(
        self,
        channels: int,
        *,
        act: Activation,
        in_channels: int = 3,
        stride: int = 1,
        branch_stride: int = 1,
        residual: bool = False,
        preactivation: bool = False,
    ) -> None:
        super().__init__()
        first = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        branch = depthwise(channels, 3, stride=branch_stride, padding=1)
        fuse = pointwise(2 * channels, channels)
        if preactivation:
            self.first: nn.Module = first
            self.branch = _stack(bn=nn.BatchNorm2d(channels), act=act(), conv=branch)
            self.fuse = _stack(bn=nn.BatchNorm2d(2 * channels), act=act(), conv=fuse)
        else:
            self.first = _stack(conv=first, bn=nn.BatchNorm2d(channels), act=act())
            self.branch = _stack(conv=branch, bn=nn.BatchNorm2d(channels), act=act())
            self.fuse = _stack(conv=fuse, bn=nn.BatchNorm2d(channels), act=act())
        self.pool = nn.MaxPool2d(3, stride=branch_stride, padding=1)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Run the stem on images."""
        first: Tensor = self.first(x)
        fused: Tensor = self.fuse(torch.cat([self.branch(first), self.pool(first)], dim=1))
        return fused + first if self.residual else fused


def _stack(**children: nn.Module) -> nn.Sequential:
    """Return a sequence whose children have names."""
    stack = nn.Sequential()
    for name, child in children.items():
        stack.add_module(name, child)
    return stack
