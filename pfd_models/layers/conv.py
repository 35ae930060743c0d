"""Convolution, batch normalisation and activation in one stack, and channel rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import nn

__all__ = ["Activation", "ConvBNAct", "Norm", "depthwise", "make_divisible", "pointwise"]

Activation: TypeAlias = Callable[[], nn.Module]
Norm: TypeAlias = Callable[[int], nn.Module]


class ConvBNAct(nn.Sequential):
    """Bias-free convolution, batch normalisation, activation, in that order.

    The children are called ``conv``, ``bn`` and, where there is an activation, ``act``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel, odd.
        stride: Of the convolution.
        padding: Zeros on each side; None keeps the size at stride 1, (kernel_size - 1) // 2.
        groups: Of the convolution.
        act: Makes the activation; None leaves it out.
        norm: Makes the normalisation from the number of channels.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H', W') with
        H' = (H + 2 * padding - kernel_size) // stride + 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        act: Activation | None = nn.ReLU,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=(kernel_size - 1) // 2 if padding is None else padding,
            groups=groups,
            bias=False,
        )
        self.add_module("conv", conv)
        self.add_module("bn", norm(out_channels))
        if act is not None:
            self.add_module("act", act())


def pointwise(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    """Return a bias-free 1x1 convolution."""
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


def depthwise(channels: int, kernel_size: int, *, stride: int = 1, padding: int) -> nn.Conv2d:
    """Return a bias-free depthwise convolution."""
    return nn.Conv2d(
        channels,
        channels,
        kernel_size,
        stride=stride,
        padding=padding,
        groups=channels,
        bias=False,
    )


def make_divisible(value: float, divisor: int) -> int:
    """Round a channel count to the nearest multiple, losing at most a tenth.

    Args:
        value: The wanted number of channels.
        divisor: The result is a positive multiple of it.

    Source: MobileNetV2's published code, kept by MobileNetV3 and GhostNet.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
