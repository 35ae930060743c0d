"""ShuffleNetV2. Paper: Practical Guidelines for Efficient CNN Architecture Design - https://arxiv.org/abs/1807.11164."""

from __future__ import annotations

import re
from functools import partial

import torch
from torch import Tensor, nn

from pfd_models.layers.conv import ConvBNAct, depthwise
from pfd_models.variants import Downsampling, Variant
from pfd_models.zoo.registry import Figures, ParsedName, architecture
from pfd_models.zoo.spec import ModelSpec

_CHANNELS = {  # stages 2, 3, 4 and the last convolution; the paper's table 5
    "0_5": (48, 96, 192, 1024),
    "1_0": (116, 232, 464, 1024),
    "1_5": (176, 352, 704, 1024),
    "2_0": (244, 488, 976, 2048),
}
_REPEATS = (4, 8, 4)
_STEM = 24


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of `groups` equal parts, (N, C, H, W) -> the same."""
    batch, channels, height, width = x.shape
    grouped = x.reshape(batch, groups, channels // groups, height, width)
    return grouped.transpose(1, 2).reshape(batch, channels, height, width)


class ShuffleUnit(nn.Module):
    """Half of the channels pass, the other half go 1x1, depthwise, 1x1; then shuffle.

    Shape:
        (N, channels, H, W) -> the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            ConvBNAct(half, half, 1),
            ConvBNAct(half, half, 3, groups=half, act=None),
            ConvBNAct(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the unit."""
        passed, transformed = x.chunk(2, dim=1)
        return channel_shuffle(torch.cat([passed, self.branch(transformed)], dim=1), 2)


class DownsamplingUnit(nn.Module):
    """Two branches of stride 2 over all channels, side by side; then shuffle.

    In both the bare depthwise convolution is wrapped: what a variant adds to it goes through
    the batch normalisation that follows.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H', W').
    """

    def __init__(self, in_channels: int, out_channels: int, *, downsample: Downsampling) -> None:
        super().__init__()
        half = out_channels // 2

        def halve(channels: int) -> nn.Module:
            return downsample.conv(
                lambda padding: depthwise(channels, 3, stride=2, padding=padding),
                kernel=3,
                pool=3,
            )

        self.branch1 = nn.Sequential(
            halve(in_channels), nn.BatchNorm2d(in_channels), ConvBNAct(in_channels, half, 1)
        )
        self.branch2 = nn.Sequential(
            ConvBNAct(in_channels, half, 1),
            halve(half),
            nn.BatchNorm2d(half),
            ConvBNAct(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the unit."""
        return channel_shuffle(torch.cat([self.branch1(x), self.branch2(x)], dim=1), 2)


class ShuffleNetV2(nn.Module):
    """Stem, three stages, a last 1x1 convolution, mean and classifier."""

    def __init__(self, spec: ModelSpec, variant: Variant) -> None:
        super().__init__()
        *widths, last = _CHANNELS[spec.option("width")]
        stride = 1 if spec.small_input else 2
        self.stem = variant.stem(
            plain=lambda: nn.Sequential(
                ConvBNAct(3, _STEM, 3, stride=stride), nn.MaxPool2d(3, stride=stride, padding=1)
            ),
            channels=_STEM,
            act=nn.ReLU,
            stride=stride,
            branch_stride=stride,
        )
        side = -(-spec.resolution // stride**2)
        channels = _STEM
        self.stages = nn.Sequential()
        for number, (width, repeats) in enumerate(zip(widths, _REPEATS, strict=True), start=2):
            first = variant.downsample.block(
                partial(DownsamplingUnit, channels, width, downsample=variant.downsample),
                in_channels=channels,
                out_channels=width,
                side=side,
                attention=number == 4,
            )
            side = variant.downsample.side(side, stage=f"stage {number}")
            units = [ShuffleUnit(width) for _ in range(repeats - 1)]
            self.stages.append(nn.Sequential(first, *units))
            channels = width
        self.last = ConvBNAct(channels, last, 1)
        self.classifier = nn.Linear(last, spec.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images, (N, 3, H, W) -> (N, num_classes)."""
        features: Tensor = self.last(self.stages(self.stem(x)))
        scores: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return scores


_NAME = re.compile(r"shufflenetv2(?:_x(?P<whole>\d)[._](?P<tenths>\d))?")


def _parse(name: str) -> ParsedName | None:
    """Read ``shufflenetv2[_x<width>]``; x1_0 and no width are the same network."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    width = f"{match['whole']}_{match['tenths']}" if match["whole"] else "1_0"
    if width not in _CHANNELS:
        return None
    model = "shufflenetv2" if width == "1_0" else f"shufflenetv2_x{width}"
    return ParsedName(model=model, options={"width": width})


def _figures(params: dict[str, int]) -> dict[tuple[str, str, str], Figures]:
    return {
        (name, "orig", "imagenet"): Figures(params=count, source="torchvision, shufflenet_v2")
        for name, count in params.items()
    }


@architecture(
    names=("shufflenetv2", "shufflenetv2_x0_5", "shufflenetv2_x1_5", "shufflenetv2_x2_0"),
    parse=_parse,
    replaceable_blocks=True,
    figures=_figures(
        {
            "shufflenetv2": 2_278_604,
            "shufflenetv2_x0_5": 1_366_792,
            "shufflenetv2_x1_5": 3_503_624,
            "shufflenetv2_x2_0": 7_393_996,
        }
    ),
    source=(
        "paper, tables CIFAR-100 (hyper-parameter set 2), EfficientFormerv2-Downsampling and "
        "VegFru-292, at x1.0; ShuffleNetV2 (arXiv:1807.11164)"
    ),
)
def shufflenetv2(spec: ModelSpec, variant: Variant) -> nn.Module:
    """Build ShuffleNetV2 at one of the paper's widths."""
    return ShuffleNetV2(spec, variant)
