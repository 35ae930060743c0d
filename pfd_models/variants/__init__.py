"""What a variant is: a stem and a way to halve feature maps, handed to every family.

A family asks its variant for both and does not know which it got. Each file of this folder
defines ``VARIANT``, or ``VARIANTS`` where several share their parts; it is discovered by being
here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import nn

from pfd_models.discovery import BrokenFile, import_whole_files
from pfd_models.errors import SpecError
from pfd_models.layers.conv import Activation, Norm

if TYPE_CHECKING:
    from pfd_models.zoo.spec import ModelSpec

__all__ = [
    "Downsampling",
    "FeatureMapError",
    "StemMaker",
    "Variant",
    "find_broken",
    "load_variants",
]


class FeatureMapError(SpecError):
    """The feature map got smaller than a kernel that must fit into it.

    Attributes:
        stage: Where, as the family calls it.
        side: Of the map there.
        least: The side it needs.
    """

    def __init__(self, stage: str, side: int, least: int) -> None:
        super().__init__(f"{stage} gets a {side}x{side} map and needs at least {least}x{least}")
        self.stage = stage
        self.side = side
        self.least = least


class StemMaker(Protocol):
    """Makes the first layers of a network."""

    def __call__(
        self,
        *,
        plain: Callable[[], nn.Module],
        channels: int,
        act: Activation,
        stride: int,
        branch_stride: int = 1,
        residual: bool = False,
        preactivation: bool = False,
    ) -> nn.Module:
        """Return a stem, images (N, 3, H, W) -> (N, channels, H', W').

        Args:
            plain: Makes the stem of the original network.
            channels: Of its output.
            act: The activation the network uses there.
            stride: Of its first convolution.
            branch_stride: Of what follows the first convolution.
            residual: Whether the network adds what it branches from.
            preactivation: Whether the network normalises before it convolves.
        """
        ...


class Downsampling(Protocol):
    """Halves feature maps: one object for all stride-2 steps of a network."""

    def side(self, side: int, *, stage: str) -> int:
        """Return the side of the map after one step.

        Raises:
            FeatureMapError: The map is too small for the step.
        """
        ...

    def conv(
        self,
        body: Callable[[int], nn.Module],
        *,
        kernel: int,
        pool: int | None,
        project: Callable[[], nn.Module] | None = None,
    ) -> nn.Module:
        """Return the stride-2 convolution of a block.

        Args:
            body: Makes the convolution with all that belongs to it, from its padding.
            kernel: Side of the convolution's kernel.
            pool: Side of the window of a max pool that may run beside it; None: never.
            project: Makes what maps the pooled channels to the body's where they differ.
        """
        ...

    def shortcut(
        self, *, padded: Callable[[], nn.Module], unpadded: Callable[[], nn.Module]
    ) -> nn.Module:
        """Return what runs beside a block's stride-2 convolution and must end on its size.

        Args:
            padded: Makes the form that gives ceil(side / 2).
            unpadded: Makes the form that gives (side - 3) // 2 + 1.
        """
        ...

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
        """Return a whole stride-2 block, the family's or one that takes its place.

        Args:
            default: Makes the family's own block.
            in_channels: Of the map before it.
            out_channels: Of the map after it.
            side: Of the map before it.
            attention: Whether a replacement that can attend does it here.
            norm: The network's normalisation.
        """
        ...


def _supports_everything(spec: ModelSpec) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to build every network.

    Attributes:
        name: As the user types it.
        stem: Makes the first layers.
        downsample: Halves the feature maps.
        supports: Says why a specification cannot have this variant; None where it can.
    """

    name: str
    stem: StemMaker
    downsample: Downsampling
    supports: Callable[[ModelSpec], str | None] = _supports_everything


def load_variants() -> Mapping[str, Variant]:
    """Import every file of this folder and return its variants by name.

    The paper's own come first, then the others by file name. A file that is in `find_broken`
    gives none and leaves the others alone.
    """
    return _load()[0]


def find_broken() -> tuple[BrokenFile, ...]:
    """Return the files that cannot be imported, define no variant, or one that another defines."""
    return _load()[1]


def _load() -> tuple[Mapping[str, Variant], tuple[BrokenFile, ...]]:
    found: dict[str, Variant] = {}
    papers = f"{__name__}.paper"
    modules, unimported = import_whole_files(__name__)
    broken = list(unimported)
    for module in sorted(modules, key=lambda m: (m.__name__ != papers, m.__name__)):
        single = (module.VARIANT,) if hasattr(module, "VARIANT") else ()
        variants = getattr(module, "VARIANTS", single)
        reason = _refuse(variants, found)
        if reason is None:
            found.update({variant.name: variant for variant in variants})
        else:
            broken.append(BrokenFile(path=Path(str(module.__file__)), line=0, reason=reason))
    return found, tuple(broken)


def _refuse(variants: Sequence[object], found: Mapping[str, Variant]) -> str | None:
    """Say why what a file defines cannot be taken; None where it can."""
    if not variants or not all(isinstance(variant, Variant) for variant in variants):
        return "it defines no VARIANT; add it or move the file"
    names = [variant.name for variant in variants if isinstance(variant, Variant)]
    twice = [name for name in names if name in found or names.count(name) > 1]
    return f"a variant {twice[0]!r} is defined already; rename it" if twice else None
