"""The paper's four variants: plain or hybrid stem, with padded or padding-free downsampling."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pfd_models.layers.conv import Activation, Norm
from pfd_models.layers.downsample import (
    PaddingFreeDownsample,
    padding_free_padding,
    padding_free_side,
)
from pfd_models.layers.stem import HybridStem
from pfd_models.variants import FeatureMapError, Variant

__all__ = ["VARIANTS", "Padded", "PaddingFree", "hybrid_stem", "plain_stem"]


def plain_stem(
    *,
    plain: Callable[[], nn.Module],
    channels: int,
    act: Activation,
    stride: int,
    branch_stride: int = 1,
    residual: bool = False,
    preactivation: bool = False,
) -> nn.Module:
    """Return the original network's stem."""
    return plain()


def hybrid_stem(
    *,
    plain: Callable[[], nn.Module],
    channels: int,
    act: Activation,
    stride: int,
    branch_stride: int = 1,
    residual: bool = False,
    preactivation: bool = False,
) -> nn.Module:
    """Return the paper's stem."""
    return HybridStem(
        channels,
        act=act,
        stride=stride,
        branch_stride=branch_stride,
        residual=residual,
        preactivation=preactivation,
    )


class _KeepsBlocks:
    """Leaves every block to the family."""

    def block(
        self,
        default: Callable[[], nn.Module],
        *,
        in_channels: int,
        out_channels: int,
        side: int,
        attention: bool,
        norm: Norm = nn.BatchNorm2d,
    ) -> nn.Module:
        """Return the family's own block."""
        return default()


class Padded(_KeepsBlocks):
    """The usual stride-2 convolution, (kernel - 1) // 2 zeros on each side."""

    def side(self, side: int, *, stage: str) -> int:
        """Return ceil(side / 2)."""
        return (side + 1) // 2

    def conv(
        self,
        body: Callable[[int], nn.Module],
        *,
        kernel: int,
        pool: int | None,
        project: Callable[[], nn.Module] | None = None,
    ) -> nn.Module:
        """Return the convolution alone, padded."""
        return body((kernel - 1) // 2)

    def shortcut(
        self, *, padded: Callable[[], nn.Module], unpadded: Callable[[], nn.Module]
    ) -> nn.Module:
        """Return the padded form."""
        return padded()


class PaddingFree(_KeepsBlocks):
    """The paper's downsampling: no ring of zeros, a max pool of the same input beside it."""

    def side(self, side: int, *, stage: str) -> int:
        """Return (side - 3) // 2 + 1."""
        if side < 3:
            raise FeatureMapError(stage, side, 3)
        return padding_free_side(side)

    def conv(
        self,
        body: Callable[[int], nn.Module],
        *,
        kernel: int,
        pool: int | None,
        project: Callable[[], nn.Module] | None = None,
    ) -> nn.Module:
        """Return the convolution with the pool added, or alone where it has none."""
        downsampled = body(padding_free_padding(kernel))
        if pool is None:
            return downsampled
        return PaddingFreeDownsample(
            downsampled,
            pool_kernel=pool,
            pool_padding=padding_free_padding(pool),
            project=None if project is None else project(),
        )

    def shortcut(
        self, *, padded: Callable[[], nn.Module], unpadded: Callable[[], nn.Module]
    ) -> nn.Module:
        """Return the unpadded form."""
        return unpadded()


VARIANTS = (
    Variant(name="orig", stem=plain_stem, downsample=Padded()),
    Variant(name="stem", stem=hybrid_stem, downsample=Padded()),
    Variant(name="down", stem=plain_stem, downsample=PaddingFree()),
    Variant(name="ours", stem=hybrid_stem, downsample=PaddingFree()),
)
