"""EfficientFormerV2's downsampling in place of whole stride-2 blocks, on the original stem.

The paper compares against it at 32x32. Source: the padding-free downsampling paper, table
"EfficientFormerv2-Downsampling"; the block: https://arxiv.org/abs/2212.08059.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from pfd_models.layers.conv import Norm
from pfd_models.layers.efformer import EmbeddingDownsample
from pfd_models.variants import Variant
from pfd_models.variants.paper import Padded, plain_stem

if TYPE_CHECKING:
    from pfd_models.zoo.spec import ModelSpec

__all__ = ["VARIANT"]


class ReplacesBlocks(Padded):
    """Puts a dense convolution, with attention on the smaller maps, where a block was."""

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
        """Return the replacement."""
        return EmbeddingDownsample(
            in_channels, out_channels, attention_side=side if attention else None, norm=norm
        )


def _supports(spec: ModelSpec) -> str | None:
    if not spec.replaceable_blocks:
        return "it replaces whole stride-2 blocks, which the paper does in its second set of models"
    if not spec.small_input:
        return f"it is defined for the strides of small images, as cifar100, not {spec.dataset}"
    return None


VARIANT = Variant(name="efv2", stem=plain_stem, downsample=ReplacesBlocks(), supports=_supports)
