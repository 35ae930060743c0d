"""MobileNetV2 whose later blocks convolve circularly.

Papers: MobileNetV2 - https://arxiv.org/abs/1801.04381; ParC-Net - https://arxiv.org/abs/2203.03952.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pfd_models.layers.conv import ConvBNAct
from pfd_models.layers.initialise import initialise_fan_out
from pfd_models.layers.parc import ParCOperator
from pfd_models.variants import Downsampling, Variant
from pfd_models.zoo.registry import architecture
from pfd_models.zoo.spec import ModelSpec


class Row(NamedTuple):
    """One stage: its first `plain` blocks are MobileNetV2's, the others circular."""

    expansion: int
    channels: int
    repeats: int
    plain: int
    stride: int
    small_stride: int


_ROWS = (
    Row(1, 16, 1, 1, 1, 1),
    Row(6, 24, 2, 2, 2, 1),
    Row(6, 32, 3, 3, 2, 2),
    Row(6, 64, 4, 2, 2, 2),
    Row(6, 96, 3, 2, 1, 1),
    Row(6, 160, 3, 2, 2, 2),
    Row(6, 320, 1, 1, 1, 1),
)
_STEM, _LAST = 32, 1280


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; residual where the shapes allow.

    The depthwise convolution is wrapped with its normalisation and activation: what a variant
    adds to it is neither normalised nor clipped.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        expansion: The depthwise convolution has so many times in_channels.
        stride: 1 or 2.
        downsample: Makes the stride-2 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int,
        stride: int,
        downsample: Downsampling,
    ) -> None:
        super().__init__()
        mid = in_channels * expansion

        def depthwise(padding: int) -> nn.Module:
            return ConvBNAct(mid, mid, 3, stride=stride, padding=padding, groups=mid, act=nn.ReLU6)

        self.expand = (
            ConvBNAct(in_channels, mid, 1, act=nn.ReLU6) if expansion > 1 else nn.Identity()
        )
        self.depthwise = (
            downsample.conv(depthwise, kernel=3, pool=3) if stride == 2 else depthwise(1)
        )
        self.project = ConvBNAct(mid, out_channels, 1, act=None)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Run the block, (N, in_channels, H, W) -> (N, out_channels, H', W')."""
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class CircularResidual(nn.Module):
    """Expand, convolve half of the channels along columns and half along rows, project, add.

    Args:
        channels: Of input and output.
        expansion: The convolutions have so many times channels.
        side: Of the square map.
        embed_position: As `ParCOperator`.

    Shape:
        (N, channels, side, side) -> the same.
    """

    def __init__(self, channels: int, *, expansion: int, side: int, embed_position: bool) -> None:
        super().__init__()
        mid = channels * expansion
        self.expand = ConvBNAct(channels, mid, 1, act=nn.ReLU6)
        self.columns = ParCOperator(mid // 2, side, axis="height", embed_position=embed_position)
        self.rows = ParCOperator(mid // 2, side, axis="width", embed_position=embed_position)
        self.bn = nn.BatchNorm2d(mid)
        self.act = nn.ReLU6()
        self.project = ConvBNAct(mid, channels, 1, act=None)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        first, second = self.expand(x).chunk(2, dim=1)
        circular = torch.cat([self.columns(first), self.rows(second)], dim=1)
        out: Tensor = self.project(self.act(self.bn(circular)))
        return x + out


class ParCMobileNetV2(nn.Module):
    """Stem, seven stages, a last 1x1 convolution, mean and classifier.

    The circular kernels and the position embeddings are as long as the feature map is where
    they work, at every resolution and in every variant. Only a stage's first circular block
    embeds positions.
    """

    def __init__(self, spec: ModelSpec, variant: Variant) -> None:
        super().__init__()
        stride = 1 if spec.small_input else 2
        self.stem = variant.stem(
            plain=lambda: ConvBNAct(3, _STEM, 3, stride=stride, act=nn.ReLU6),
            channels=_STEM,
            act=nn.ReLU6,
            stride=stride,
        )
        self.stages = self._stages(spec, variant.downsample, side=-(-spec.resolution // stride))
        self.last = ConvBNAct(_ROWS[-1].channels, _LAST, 1, act=nn.ReLU6)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(_LAST, spec.num_classes)
        initialise_fan_out(self)

    @staticmethod
    def _stages(spec: ModelSpec, downsample: Downsampling, side: int) -> nn.Sequential:
        stages, channels, halvings = nn.Sequential(), _STEM, 0
        for number, row in enumerate(_ROWS, start=1):
            stride = row.small_stride if spec.small_input else row.stride
            make = partial(
                InvertedResidual,
                channels,
                row.channels,
                expansion=row.expansion,
                stride=stride,
                downsample=downsample,
            )
            if stride == 2:
                halvings += 1
                first = downsample.block(
                    make,
                    in_channels=channels,
                    out_channels=row.channels,
                    side=side,
                    attention=halvings > 1,
                )
                side = downsample.side(side, stage=f"stage {number}")
            else:
                first = make()
            stages.append(nn.Sequential(first, *_rest_of_stage(row, side, downsample)))
            channels = row.channels
        return stages

    def forward(self, x: Tensor) -> Tensor:
        """Classify images, (N, 3, H, W) -> (N, num_classes)."""
        features: Tensor = self.last(self.stages(self.stem(x)))
        mean = functional.adaptive_avg_pool2d(features, 1).flatten(1)
        scores: Tensor = self.classifier(self.dropout(mean))
        return scores


def _rest_of_stage(row: Row, side: int, downsample: Downsampling) -> list[nn.Module]:
    """Return the blocks of a stage after its first."""
    plain = partial(
        InvertedResidual,
        row.channels,
        row.channels,
        expansion=row.expansion,
        stride=1,
        downsample=downsample,
    )
    circular = partial(CircularResidual, row.channels, expansion=row.expansion, side=side)
    return [
        plain() if index < row.plain else circular(embed_position=index == row.plain)
        for index in range(1, row.repeats)
    ]


@architecture(
    replaceable_blocks=True,
    source=(
        "paper, tables CIFAR-100 (hyper-parameter set 2), EfficientFormerv2-Downsampling and "
        "VegFru-292; MobileNetV2 (arXiv:1801.04381) with ParC (arXiv:2203.03952)"
    ),
)
def parc_mobilenetv2(spec: ModelSpec, variant: Variant) -> nn.Module:
    """Build ParC-MobileNetV2 1.0x."""
    return ParCMobileNetV2(spec, variant)
