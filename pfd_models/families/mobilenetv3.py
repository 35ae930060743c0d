"""MobileNetV3-Large, in the forms of the paper's two sets of hyper-parameters.

Paper: Searching for MobileNetV3 - https://arxiv.org/abs/1905.02244. The first set's form is that
of the BSConv library (https://arxiv.org/abs/2003.13549), the second set's the usual one. Both
have the same blocks; what differs is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from pfd_models.errors import SpecError
from pfd_models.layers.bsconv import orthonormality_regulariser
from pfd_models.layers.conv import Activation, ConvBNAct, Norm, make_divisible
from pfd_models.layers.initialise import initialise_bsconv, initialise_fan_out
from pfd_models.layers.squeeze_excite import SqueezeExcite, global_mean
from pfd_models.variants import Downsampling, Variant
from pfd_models.zoo.registry import Figures, ParsedName, architecture
from pfd_models.zoo.spec import ModelSpec


class Row(NamedTuple):
    """One bottleneck of the paper's table 1; `small_stride` is the stride for small images."""

    kernel: int
    expanded: int
    channels: int
    squeeze: bool
    act: Activation
    stride: int
    small_stride: int


_ROWS = (
    Row(3, 16, 16, False, nn.ReLU, 1, 1),
    Row(3, 64, 24, False, nn.ReLU, 2, 1),
    Row(3, 72, 24, False, nn.ReLU, 1, 1),
    Row(5, 72, 40, True, nn.ReLU, 2, 2),
    Row(5, 120, 40, True, nn.ReLU, 1, 1),
    Row(5, 120, 40, True, nn.ReLU, 1, 1),
    Row(3, 240, 80, False, nn.Hardswish, 2, 2),
    Row(3, 200, 80, False, nn.Hardswish, 1, 1),
    Row(3, 184, 80, False, nn.Hardswish, 1, 1),
    Row(3, 184, 80, False, nn.Hardswish, 1, 1),
    Row(3, 480, 112, True, nn.Hardswish, 1, 1),
    Row(3, 672, 112, True, nn.Hardswish, 1, 1),
    Row(5, 672, 160, True, nn.Hardswish, 2, 2),
    Row(5, 960, 160, True, nn.Hardswish, 1, 1),
    Row(5, 960, 160, True, nn.Hardswish, 1, 1),
)
_STEM, _HEAD, _HIDDEN = 16, 960, 1280


class Bottleneck(nn.Module):
    """Expand, depthwise, squeeze-and-excite, project; residual where the shapes allow.

    The depthwise convolution is wrapped with its normalisation and activation: what a variant
    adds to it is neither normalised nor activated.

    Args:
        in_channels: Channels of the input.
        row: The table's row, its channels already scaled.
        stride: 1 or 2.
        downsample: Makes the stride-2 convolution.
        squeeze: Makes the squeeze-and-excitation from the number of channels.
        norm: Makes the normalisations.
        always_expand: Expand also where that changes no channels.
        subspace: The projection's weight is regularised as in BSConv-S.
    """

    def __init__(
        self,
        in_channels: int,
        row: Row,
        *,
        stride: int,
        downsample: Downsampling,
        squeeze: Callable[[int], nn.Module],
        norm: Norm,
        always_expand: bool,
        subspace: bool,
    ) -> None:
        super().__init__()
        mid = row.expanded

        def depthwise(padding: int) -> nn.Module:
            return ConvBNAct(
                mid,
                mid,
                row.kernel,
                stride=stride,
                padding=padding,
                groups=mid,
                act=row.act,
                norm=norm,
            )

        expand = always_expand or mid != in_channels
        self.expand = (
            ConvBNAct(in_channels, mid, 1, act=row.act, norm=norm) if expand else nn.Identity()
        )
        self.depthwise = (
            downsample.conv(depthwise, kernel=row.kernel, pool=3)
            if stride == 2
            else depthwise((row.kernel - 1) // 2)
        )
        self.squeeze = squeeze(mid) if row.squeeze else nn.Identity()
        self.project = ConvBNAct(mid, row.channels, 1, act=None, norm=norm)
        self.residual = stride == 1 and in_channels == row.channels
        self.subspace = subspace

    def forward(self, x: Tensor) -> Tensor:
        """Run the block, (N, in_channels, H, W) -> (N, channels, H', W')."""
        out: Tensor = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + out if self.residual else out

    def orthonormal_weight(self) -> Tensor | None:
        """Return the projection's (channels, expanded) weight if it is regularised."""
        weight: Tensor = self.project.get_submodule("conv").weight[:, :, 0, 0]  # type: ignore[index, assignment]  # a Conv2d's weight is a tensor
        return weight if self.subspace else None


class MobileNetV3(nn.Module):
    """Stem, fifteen bottlenecks, a last 1x1 convolution, and a head.

    Args:
        spec: What to build.
        variant: Gives stem and downsampling.
        norm: Makes the normalisations outside the stem block.
        squeeze: Makes the squeeze-and-excitation from the number of channels.
        head: Makes what turns the last feature map into scores, from its channels.
        width: Multiplies channels, rounding down; the last convolution only grows.
        always_expand: As `Bottleneck`.
        subspace: As `Bottleneck`.
        normalise_input: Put a batch normalisation before everything.
    """

    def __init__(
        self,
        spec: ModelSpec,
        variant: Variant,
        *,
        norm: Norm,
        squeeze: Callable[[int], nn.Module],
        head: Callable[[int], nn.Module],
        width: float = 1.0,
        always_expand: bool = False,
        subspace: bool = False,
        normalise_input: bool = False,
    ) -> None:
        super().__init__()
        stem_stride = 1 if spec.small_input else 2
        channels = int(_STEM * width)
        self.normalise = nn.BatchNorm2d(spec.input.channels) if normalise_input else nn.Identity()
        self.stem = variant.stem(
            plain=lambda: ConvBNAct(
                3, channels, 3, stride=stem_stride, act=nn.Hardswish, norm=norm
            ),
            channels=channels,
            act=nn.Hardswish,
            stride=stem_stride,
        )
        side = -(-spec.resolution // stem_stride)
        halvings = 0
        self.blocks = nn.Sequential()
        for number, row in enumerate(_ROWS, start=1):
            row = row._replace(
                expanded=int(row.expanded * width), channels=int(row.channels * width)
            )
            stride = row.small_stride if spec.small_input else row.stride
            make = partial(
                Bottleneck,
                channels,
                row,
                stride=stride,
                downsample=variant.downsample,
                squeeze=squeeze,
                norm=norm,
                always_expand=always_expand,
                subspace=subspace,
            )
            if stride == 2:
                halvings += 1
                block = variant.downsample.block(
                    make,
                    in_channels=channels,
                    out_channels=row.channels,
                    side=side,
                    attention=halvings > 1,
                    norm=norm,
                )
                side = variant.downsample.side(side, stage=f"bottleneck {number}")
            else:
                block = make()
            self.blocks.append(block)
            channels = row.channels
        last = int(_HEAD * max(width, 1.0))
        self.last = ConvBNAct(channels, last, 1, act=nn.Hardswish, norm=norm)
        self.head = head(last)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images, (N, 3, H, W) -> (N, num_classes)."""
        scores: Tensor = self.head(self.last(self.blocks(self.stem(self.normalise(x)))))
        return scores

    def regularisation_loss(self) -> Tensor:
        """Return BSConv-S's regulariser, to be weighted with 0.1; 0 in the other forms."""
        return orthonormality_regulariser(self)


class ConvolutionalHead(nn.Sequential):
    """Head of the BSConv library: pool, in the full form a 1x1 convolution, classify by a 1x1."""

    def __init__(self, channels: int, num_classes: int, *, full: bool) -> None:
        super().__init__()
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))
        if full:
            self.add_module("hidden", nn.Conv2d(channels, _HIDDEN, 1, bias=False))
            self.add_module("act", nn.Hardswish())
            channels = _HIDDEN
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.add_module("flatten", nn.Flatten())


class LinearHead(nn.Module):
    """The usual head: pool, hidden layer, dropout, classifier."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden = nn.Linear(channels, _HIDDEN)
        self.act = nn.Hardswish()
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(_HIDDEN, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify maps, (N, channels, H, W) -> (N, num_classes)."""
        features = self.act(self.hidden(self.pool(x).flatten(1)))
        scores: Tensor = self.classifier(self.dropout(features))
        return scores


def _width(text: str) -> Fraction:
    """Read a width: ``3d4``, ``0_75`` and ``0.75`` are the same."""
    return Fraction(text.replace("d", "/").replace("_", "."))


def _parse(name: str) -> ParsedName | None:
    """Read ``mobilenetv3_large[_x<width>][_bsconvs]``."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    width = _width(match["width"] or "1")
    if not _LEAST_WIDTH <= width <= 1 / _LEAST_WIDTH:
        raise SpecError(
            f"{name!r}: the width {width} is out of range; use {_LEAST_WIDTH} to {1 / _LEAST_WIDTH}"
        )
    spelled = f"_x{width}".replace("/", "d") if width != 1 else ""
    return ParsedName(
        model=f"mobilenetv3_large{spelled}{match['bsconvs'] or ''}",
        options={
            "width": float(width),
            "subspace": match["bsconvs"] is not None,
            "full_head": False,
        },
    )


_NAME = re.compile(
    r"mobilenetv3_large(?:_x(?P<width>\d+(?:d[1-9]\d*|[._]\d+)?))?(?P<bsconvs>_bsconvs)?"
)
_LEAST_WIDTH = Fraction(1, 16)  # keeps a channel in the stem and in the smallest squeeze


@architecture(
    names=("mobilenetv3_large", "mobilenetv3_large_bsconvs"),
    parse=_parse,
    dataset_options={"imagenet": {"full_head": True}},
    normalises_input=True,
    source=(
        "paper, tables CIFAR-100 (hyper-parameter set 1), Stanford Dogs and ImageNet; MobileNetV3 "
        "(arXiv:1905.02244) in the form of BSConv (arXiv:2003.13549)"
    ),
)
def mobilenetv3_large_set1(spec: ModelSpec, variant: Variant) -> nn.Module:
    """Build the first set's form; with ``_bsconvs`` the same graph has BSConv-S's regulariser."""
    model = MobileNetV3(
        spec,
        variant,
        norm=nn.BatchNorm2d,
        squeeze=lambda c: SqueezeExcite(c, c // 4),
        head=lambda c: ConvolutionalHead(c, spec.num_classes, full=spec.option("full_head")),
        width=spec.option("width"),
        always_expand=True,
        subspace=spec.option("subspace"),
        normalise_input=True,
    )
    initialise_bsconv(model, model.get_submodule("head.classifier"))  # type: ignore[arg-type]  # a Conv2d
    return model


@architecture(
    replaceable_blocks=True,
    figures={
        ("mobilenetv3_large_set2", "orig", "imagenet"): Figures(
            params=5_483_032, source="torchvision, mobilenet_v3_large"
        )
    },
    source=(
        "paper, tables CIFAR-100 (hyper-parameter set 2), EfficientFormerv2-Downsampling and "
        "VegFru-292; MobileNetV3 (arXiv:1905.02244)"
    ),
)
def mobilenetv3_large_set2(spec: ModelSpec, variant: Variant) -> nn.Module:
    """Build the second set's form."""
    model = MobileNetV3(
        spec,
        variant,
        norm=partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01),
        squeeze=lambda c: SqueezeExcite(c, make_divisible(c // 4, 8), pool=global_mean),
        head=lambda c: LinearHead(c, spec.num_classes),
    )
    initialise_fan_out(model)
    return model
