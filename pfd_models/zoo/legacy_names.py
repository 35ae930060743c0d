"""Architecture strings of the paper's reference repository, read as names of this zoo.

The grammar, in lower case::

    [cifar_]mobilenet{v1|v2|v3_small|v3_large}_w<N>[d<M>][_bsconvu|_bsconvs_p1d6]
    [cifar_][pre]resnet<depth>[_bsconvu|_bsconvs_p<A>d<B>]
    cifar_wrn<depth>_<width>[_bsconvu|_bsconvs_p<A>d<B>]

``cifar_`` means the strides for 32x32 images, its absence those for 224x224; ``w<N>d<M>`` is the
width N/M. What the zoo does not hold is refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pfd_models.errors import SpecError

__all__ = ["LegacyName", "translate"]

_MOBILENET = re.compile(
    r"(?P<cifar>cifar_)?mobilenet(?P<version>v1|v2|v3_small|v3_large)"
    r"_w(?P<n>\d+)(?:d(?P<m>\d+))?(?P<bsconv>_bsconvu|_bsconvs_p1d6)?"
)
_RESNET = re.compile(
    r"(?P<cifar>cifar_)?(?P<net>(?P<pre>pre)?resnet(?P<depth>\d+)|wrn\d+_\d+)"
    r"(?P<bsconv>_bsconvu|_bsconvs_p\d+d\d+)?"
)
_IMAGENET_RESNET_DEPTHS = (10, 18, 26, 34, 68, 102)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyName:
    """A name of this zoo and the strides that the string asks for.

    Attributes:
        model: The zoo's name.
        small_input: Whether the strides are those for small images.
    """

    model: str
    small_input: bool


def translate(name: str) -> LegacyName | None:
    """Read an architecture string.

    Args:
        name: In lower case.

    Returns:
        None where the name is no such string, or is one that the zoo itself uses.

    Raises:
        SpecError: It is such a string, for a network that the zoo does not hold.
    """
    if match := _MOBILENET.fullmatch(name):
        return _mobilenet(name, match)
    if match := _RESNET.fullmatch(name):
        return _resnet(name, match)
    return None


def _mobilenet(name: str, match: re.Match[str]) -> LegacyName:
    if match["version"] != "v3_large":
        raise SpecError(
            f"{name!r}: of the MobileNets only v3_large is in the paper and in this zoo; use "
            "mobilenetv3_large, or parc_mobilenetv2 for a MobileNetV2"
        )
    if match["bsconv"] == "_bsconvu":
        raise SpecError(
            f"{name!r}: BSConv-U is defined for mobilenetv1 only; use _bsconvs_p1d6 or no suffix"
        )
    width = "" if match["n"] == (match["m"] or "1") else f"_x{match['n']}d{match['m'] or 1}"
    suffix = "_bsconvs" if match["bsconv"] else ""
    return LegacyName(
        model=f"mobilenetv3_large{width}{suffix}", small_input=match["cifar"] is not None
    )


def _resnet(name: str, match: re.Match[str]) -> LegacyName | None:
    if match["pre"]:
        raise SpecError(
            f"{name!r}: pre-activation ResNets are not in the paper nor in this zoo; use "
            "resnet<depth>, or wrn<depth>_<width> for pre-activation units"
        )
    if match["cifar"]:
        return LegacyName(model=name.removeprefix("cifar_"), small_input=True)
    if match["depth"] and int(match["depth"]) in _IMAGENET_RESNET_DEPTHS:
        raise SpecError(
            f"{name!r}: the 224x224 ResNets are not in the paper nor in this zoo; use a CIFAR "
            "depth such as resnet20"
        )
    return None
