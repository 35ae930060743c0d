"""GhostNet 1.0x. Paper: GhostNet: More Features from Cheap Operations - https://arxiv.org/abs/1911.11907."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pfd_models.layers.conv import ConvBNAct, make_divisible
from pfd_models.layers.squeeze_excite import SqueezeExcite
from pfd_models.variants import Downsampling, Variant
from pfd_models.zoo.registry import architecture
from pfd_models.zoo.spec import ModelSpec


class Row(NamedTuple):
    """One bottleneck of the paper's table 1; `small_stride` is the stride for small images."""

    kernel: int
    expanded: int
    channels: int
    squeeze: bool
    stride: int
    small_stride: int


_ROWS = (
    Row(3, 16, 16, False, 1, 1),
    Row(3, 48, 24, False, 2, 1),
    Row(3, 72, 24, False, 1, 1),
    Row(5, 72, 40, True, 2, 2),
    Row(5, 120, 40, True, 1, 1),
    Row(3, 240, 80, False, 2, 2),
    Row(3, 200, 80, False, 1, 1),
    Row(3, 184, 80, False, 1, 1),
    Row(3, 184, 80, False, 1, 1),
    Row(3, 480, 112, True, 1, 1),
    Row(3, 672, 112, True, 1, 1),
    Row(5, 672, 160, True, 2, 2),
    Row(5, 960, 160, False, 1, 1),
    Row(5, 960, 160, True, 1, 1),
    Row(5, 960, 160, False, 1, 1),
    Row(5, 960, 160, True, 1, 1),
)
_STEM, _LAST, _HIDDEN = 16, 960, 1280


class GhostModule(nn.Module):
    """Half of the channels by a 1x1 convolution, the other half from them by a cheap 3x3.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, *, activated: bool) -> None:
        super().__init__()
        act = nn.ReLU if activated else None
        primary = (out_channels + 1) // 2
        self.primary = ConvBNAct(in_channels, primary, 1, act=act)
        self.cheap = ConvBNAct(primary, primary, 3, groups=primary, act=act)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Compute both halves."""
        primary = self.primary(x)
        ghosts = torch.cat([primary, self.cheap(primary)], dim=1)
        return ghosts if ghosts.shape[1] == self.out_channels else ghosts[:, : self.out_channels]


class GhostBottleneck(nn.Module):
    """Ghost module, at stride 2 a depthwise convolution, squeeze-and-excite, ghost module.

    The depthwise convolution is wrapped with its normalisation and has no activation. The
    shortcut's depthwise convolution never has a pool beside it.

    Args:
        in_channels: Channels of the input.
        row: The table's row.
        stride: 1 or 2.
        downsample: Makes the stride-2 convolutions.
    """

    def __init__(
        self, in_channels: int, row: Row, *, stride: int, downsample: Downsampling
    ) -> None:
        super().__init__()
        kernel, padded = row.kernel, (row.kernel - 1) // 2

        def depthwise(channels: int, padding: int) -> nn.Module:
            return ConvBNAct(
                channels,
                channels,
                kernel,
                stride=stride,
                padding=padding,
                groups=channels,
                act=None,
            )

        self.expand = GhostModule(in_channels, row.expanded, activated=True)
        self.depthwise: nn.Module = nn.Identity()
        if stride == 2:
            self.depthwise = downsample.conv(
                partial(depthwise, row.expanded), kernel=kernel, pool=kernel
            )
        self.squeeze = (
            SqueezeExcite(row.expanded, make_divisible(row.expanded * 0.25, 4))
            if row.squeeze
            else nn.Identity()
        )
        self.project = GhostModule(row.expanded, row.channels, activated=False)
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2 or in_channels != row.channels:
            spatial = (
                downsample.conv(partial(depthwise, in_channels), kernel=kernel, pool=None)
                if stride == 2
                else depthwise(in_channels, padded)
            )
            self.shortcut = nn.Sequential(
                spatial, ConvBNAct(in_channels, row.channels, 1, act=None)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Run the block, (N, in_channels, H, W) -> (N, channels, H', W')."""
        out: Tensor = self.project(self.squeeze(self.depthwise(self.expand(x))))
        shortcut: Tensor = self.shortcut(x)
        return out + shortcut


class GhostNet(nn.Module):
    """Stem, sixteen bottlenecks, a last 1x1 convolution, pool and classifier."""

    def __init__(self, spec: ModelSpec, variant: Variant) -> None:
        super().__init__()
        stride = 1 if spec.small_input else 2
        self.stem = variant.stem(
            plain=lambda: ConvBNAct(3, _STEM, 3, stride=stride),
            channels=_STEM,
            act=nn.ReLU,
            stride=stride,
        )
        self.blocks = self._blocks(spec, variant.downsample, side=-(-spec.resolution // stride))
        self.last = ConvBNAct(_ROWS[-1].channels, _LAST, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden = nn.Conv2d(_LAST, _HIDDEN, 1)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(_HIDDEN, spec.num_classes)

    @staticmethod
    def _blocks(spec: ModelSpec, downsample: Downsampling, side: int) -> nn.Sequential:
        blocks, channels, halvings = nn.Sequential(), _STEM, 0
        for number, row in enumerate(_ROWS, start=1):
            stride = row.small_stride if spec.small_input else row.stride
            make = partial(GhostBottleneck, channels, row, stride=stride, downsample=downsample)
            if stride == 2:
                halvings += 1
                block = downsample.block(
                    make,
                    in_channels=channels,
                    out_channels=row.channels,
                    side=side,
                    attention=halvings > 1,
                )
                side = downsample.side(side, stage=f"bottleneck {number}")
            else:
                block = make()
            blocks.append(block)
            channels = row.channels
        return blocks

    def forward(self, x: Tensor) -> Tensor:
        """Classify images, (N, 3, H, W) -> (N, num_classes)."""
        pooled = self.pool(self.last(self.blocks(self.stem(x))))
        features = self.act(self.hidden(pooled)).flatten(1)
        scores: Tensor = self.classifier(self.dropout(features))
        return scores


@architecture(
    replaceable_blocks=True,
    source=(
        "paper, tables CIFAR-100 (hyper-parameter set 2), EfficientFormerv2-Downsampling and "
        "VegFru-292; GhostNet (arXiv:1911.11907)"
    ),
)
def ghostnet(spec: ModelSpec, variant: Variant) -> nn.Module:
    """Build GhostNet 1.0x."""
    return GhostNet(spec, variant)
