"""ResNet and wide ResNet for small images, plain or of blueprint separable convolutions.

Papers: Deep Residual Learning - https://arxiv.org/abs/1512.03385; Wide Residual Networks -
https://arxiv.org/abs/1605.07146; BSConv - https://arxiv.org/abs/2003.13549, whose library's forms
these are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Literal, TypeAlias

from torch import Tensor, nn

from pfd_models.errors import SpecError
from pfd_models.layers.bsconv import (
    BSConvS,
    BSConvU,
    orthonormality_regulariser,
    replace_dense_convolutions,
)
from pfd_models.layers.conv import ConvBNAct, depthwise, pointwise
from pfd_models.layers.downsample import PaddingFreeDownsample
from pfd_models.layers.initialise import initialise_bsconv
from pfd_models.variants import Downsampling, Variant
from pfd_models.zoo.registry import ParsedName, architecture
from pfd_models.zoo.spec import ModelSpec, Option

_STEM = 16
_STAGES = (16, 32, 64)
_RESNET_UNITS = {20: 3, 56: 9, 110: 18, 302: 50, 602: 100}  # units per stage
_WRN_UNITS = {16: 2, 28: 4, 40: 6}

UnpaddedShortcut: TypeAlias = Literal["dense", "depthwise"]
# The paper's plain WRN-40-3 row reproduces with the dense shortcut only, its BSConv-U WRN-40-8
# row with the depthwise one only.
_WRN_SHORTCUTS: dict[str, UnpaddedShortcut] = {"": "dense", "u": "depthwise", "s": "depthwise"}


def _depthwise_shortcut(in_channels: int, out_channels: int) -> nn.Module:
    """Return an unpadded depthwise 3x3 of stride 2 and a 1x1, both normalised."""
    return nn.Sequential(
        depthwise(in_channels, 3, stride=2, padding=0),
        nn.BatchNorm2d(in_channels),
        pointwise(in_channels, out_channels),
        nn.BatchNorm2d(out_channels),
    )


def _dense_shortcut(in_channels: int, out_channels: int) -> nn.Module:
    """Return an unpadded dense 3x3 of stride 2 with a projected max pool, none normalised."""
    return PaddingFreeDownsample(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, bias=False),
        project=pointwise(in_channels, out_channels),
    )


_UNPADDED_SHORTCUTS: dict[UnpaddedShortcut, Callable[[int, int], nn.Module]] = {
    "dense": _dense_shortcut,
    "depthwise": _depthwise_shortcut,
}


def _first_convolution(
    in_channels: int, out_channels: int, *, stride: int, downsample: Downsampling
) -> nn.Module:
    """Return a unit's first convolution, wrapped at stride 2 with all that follows it.

    What a variant adds has the input's channels and is projected, neither normalised nor
    activated.
    """

    def body(padding: int) -> nn.Module:
        return ConvBNAct(in_channels, out_channels, 3, stride=stride, padding=padding)

    if stride == 1:
        return body(1)
    return downsample.conv(
        body, kernel=3, pool=3, project=lambda: pointwise(in_channels, out_channels)
    )


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, normalised; shortcut; activation after the sum.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: 1 or 2.
        downsample: Makes what halves the map.
        unpadded: Makes the shortcut that ends on the size of an unpadded convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        downsample: Downsampling,
        unpadded: Callable[[int, int], nn.Module],
    ) -> None:
        super().__init__()
        self.conv1 = _first_convolution(
            in_channels, out_channels, stride=stride, downsample=downsample
        )
        self.conv2 = ConvBNAct(out_channels, out_channels, 3, act=None)
        project = partial(ConvBNAct, in_channels, out_channels, 1, stride=stride, act=None)
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.shortcut = downsample.shortcut(
                padded=project, unpadded=partial(unpadded, in_channels, out_channels)
            )
        elif in_channels != out_channels:
            self.shortcut = project()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Run the unit, (N, in_channels, H, W) -> (N, out_channels, H', W')."""
        out: Tensor = self.act(self.conv2(self.conv1(x)) + self.shortcut(x))
        return out


class PreactivatedUnit(nn.Module):
    """Normalise, activate, two 3x3 convolutions; a shortcut that changes shape is activated too.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: 1 or 2.
        downsample: Makes what halves the map.
        unpadded: Makes the shortcut that ends on the size of an unpadded convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        downsample: Downsampling,
        unpadded: Callable[[int, int], nn.Module],
    ) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.act = nn.ReLU()
        self.conv1 = _first_convolution(
            in_channels, out_channels, stride=stride, downsample=downsample
        )
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        project = partial(pointwise, in_channels, out_channels, stride=stride)
        self.shortcut: nn.Module | None = None
        if stride == 2:
            self.shortcut = downsample.shortcut(
                padded=project, unpadded=partial(unpadded, in_channels, out_channels)
            )
        elif in_channels != out_channels:
            self.shortcut = project()

    def forward(self, x: Tensor) -> Tensor:
        """Run the unit, (N, in_channels, H, W) -> (N, out_channels, H', W')."""
        activated: Tensor = self.act(self.bn(x))
        shortcut: Tensor = x if self.shortcut is None else self.shortcut(activated)
        out: Tensor = self.conv2(self.conv1(activated))
        return out + shortcut


class ResNet(nn.Module):
    """Input normalisation, stem, three stages, mean, classifier.

    Args:
        spec: What to build.
        variant: Gives stem and downsampling.
        units: Per stage.
        width: Multiplies the stages' channels, not the stem's.
        preactivated: Normalise and activate before the convolutions, and after the last unit.
        shortcut: Which form an unpadded shortcut has.
    """

    def __init__(
        self,
        spec: ModelSpec,
        variant: Variant,
        *,
        units: int,
        width: int,
        preactivated: bool,
        shortcut: UnpaddedShortcut,
    ) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(spec.input.channels)
        self.stem = variant.stem(
            plain=_bare_stem if preactivated else partial(ConvBNAct, 3, _STEM, 3),
            channels=_STEM,
            act=nn.ReLU,
            stride=1,
            residual=True,
            preactivation=preactivated,
        )
        make = partial(
            PreactivatedUnit if preactivated else ResidualUnit,
            downsample=variant.downsample,
            unpadded=_UNPADDED_SHORTCUTS[shortcut],
        )
        side, channels = spec.resolution, _STEM
        self.stages = nn.Sequential()
        for number, base in enumerate(_STAGES, start=1):
            stride = 1 if number == 1 else 2
            if stride == 2:
                side = variant.downsample.side(side, stage=f"stage {number}")
            stage = nn.Sequential(make(channels, base * width, stride=stride))
            channels = base * width
            stage.extend(make(channels, channels, stride=1) for _ in range(units - 1))
            self.stages.append(stage)
        self.last = (
            nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU()) if preactivated else nn.Identity()
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Conv2d(channels, spec.num_classes, 1)
        initialise_bsconv(self, self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images, (N, 3, H, W) -> (N, num_classes)."""
        features = self.pool(self.last(self.stages(self.stem(self.normalise(x)))))
        scores: Tensor = self.classifier(features).flatten(1)
        return scores

    def regularisation_loss(self) -> Tensor:
        """Return BSConv-S's regulariser, to be weighted with 0.1; 0 in the other forms."""
        return orthonormality_regulariser(self)


def _bare_stem() -> nn.Module:
    return nn.Conv2d(3, _STEM, 3, padding=1, bias=False)


_NAME = re.compile(
    r"(?:resnet(?P<depth>\d+)|wrn(?P<wide_depth>\d+)_(?P<width>[1-9]\d?))"
    r"(?:_bsconv(?P<kind>u|s)(?:_p(?P<p>\d+d[1-9]\d*))?)?"
)


def _parse(name: str, *, wide: bool) -> ParsedName | None:
    """Read ``resnet<depth>`` or ``wrn<depth>_<width>``, ``_bsconvu`` or ``_bsconvs_p<a>d<b>``."""
    match = _NAME.fullmatch(name)
    if match is None or wide is (match["depth"] is not None):
        return None
    known, depth = (
        (_WRN_UNITS, int(match["wide_depth"])) if wide else (_RESNET_UNITS, int(match["depth"]))
    )
    if depth not in known:
        raise SpecError(f"{name!r}: no such depth; use {', '.join(map(str, known))}")
    kind = match["kind"] or ""
    if (kind == "s") is not (match["p"] is not None):
        return None
    share = Fraction((match["p"] or "1").replace("d", "/"))
    if not 0 < share <= 1:
        raise SpecError(f"{name!r}: the subspace share p must be in (0, 1], got {share}")
    options: dict[str, Option] = {
        "units": known[depth],
        "width": int(match["width"]) if wide else 1,
        "bsconv": kind,
        "share": float(share),
        "shortcut": _WRN_SHORTCUTS[kind] if wide else "depthwise",
    }
    return ParsedName(model=name, options=options)


def _build(spec: ModelSpec, variant: Variant, *, preactivated: bool) -> nn.Module:
    model = ResNet(
        spec,
        variant,
        units=spec.option("units"),
        width=spec.option("width"),
        preactivated=preactivated,
        shortcut=spec.option("shortcut"),
    )
    blueprints: dict[str, Callable[..., nn.Module]] = {
        "u": BSConvU,
        "s": partial(BSConvS, p=spec.option("share")),
    }
    if make := blueprints.get(spec.option("bsconv")):
        replace_dense_convolutions(model, make)
    return model


@architecture(
    names=("resnet20", "resnet110_bsconvu"),
    parse=partial(_parse, wide=False),
    datasets=("cifar100",),
    normalises_input=True,
    source=(
        "paper, table CIFAR-100 (hyper-parameter set 1); ResNet (arXiv:1512.03385) in the form of "
        "BSConv (arXiv:2003.13549)"
    ),
)
def resnet(spec: ModelSpec, variant: Variant) -> nn.Module:
    """Build a ResNet of 20, 56, 110, 302 or 602 layers."""
    return _build(spec, variant, preactivated=False)


@architecture(
    names=("wrn40_3", "wrn40_8_bsconvu"),
    parse=partial(_parse, wide=True),
    datasets=("cifar100",),
    normalises_input=True,
    source=(
        "paper, table CIFAR-100 (hyper-parameter set 1); WRN (arXiv:1605.07146) in the form of "
        "BSConv (arXiv:2003.13549)"
    ),
)
def wrn(spec: ModelSpec, variant: Variant) -> nn.Module:
    """Build a wide ResNet of 16, 28 or 40 layers."""
    return _build(spec, variant, preactivated=True)
