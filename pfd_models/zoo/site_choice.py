"""A variant at some of a network's down-sampling sites, as ``down@2,3``.

A site is one halving of the feature maps with all that must shrink together there, as both
branches of a ShuffleNet unit. Sites are numbered in the order of the network, the first being 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import nn

from pfd_models.errors import SpecError
from pfd_models.layers.conv import Norm
from pfd_models.variants import Downsampling, Variant
from pfd_models.variants.paper import Padded

__all__ = ["HalvingSite", "SiteChoice", "at_sites"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvingSite:
    """One down-sampling step of a network.

    Attributes:
        number: Of the site, the first being 1.
        stage: Where, as the family calls it.
        side: Of the map before it, in pixels.
        side_after: Of the map after it, in pixels.
    """

    number: int
    stage: str
    side: int
    side_after: int


class SiteChoice:
    """Halves as another `Downsampling` at the chosen sites, and padded at the others.

    It counts the steps of the one network that it is handed to. Families ask for a step's side
    either before they make what halves it or after; the first question tells which.

    Attributes:
        sites: The steps so far.
    """

    def __init__(self, downsample: Downsampling, chosen: Collection[int]) -> None:
        self.sites: list[HalvingSite] = []
        self._downsample = downsample
        self._chosen = chosen
        self._padded = Padded()
        self._side_comes_first: bool | None = None

    def side(self, side: int, *, stage: str) -> int:
        """Return the side of the map after one step, of the kind chosen for it."""
        if self._side_comes_first is None:
            self._side_comes_first = True
        number = len(self.sites) + 1
        after = self._at(number).side(side, stage=stage)
        self.sites.append(HalvingSite(number=number, stage=stage, side=side, side_after=after))
        return after

    def conv(
        self,
        body: Callable[[int], nn.Module],
        *,
        kernel: int,
        pool: int | None,
        project: Callable[[], nn.Module] | None = None,
    ) -> nn.Module:
        """Return the stride-2 convolution of a block."""
        return self._here().conv(body, kernel=kernel, pool=pool, project=project)

    def shortcut(
        self, *, padded: Callable[[], nn.Module], unpadded: Callable[[], nn.Module]
    ) -> nn.Module:
        """Return what runs beside a block's stride-2 convolution."""
        return self._here().shortcut(padded=padded, unpadded=unpadded)

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
        """Return a whole stride-2 block."""
        return self._here().block(
            default,
            in_channels=in_channels,
            out_channels=out_channels,
            side=side,
            attention=attention,
            norm=norm,
        )

    def require_sites(self, model: str) -> None:
        """Refuse a choice of a site that the network, now built, does not have.

        Raises:
            SpecError: It has fewer sites.
        """
        have = len(self.sites)
        missing = [number for number in sorted(self._chosen) if number > have]
        if missing:
            raise SpecError(
                f"{model} has no down-sampling site {missing[0]} at these strides; "
                + (f"its sites are 1 to {have}" if have else "it has none")
            )

    def _here(self) -> Downsampling:
        if self._side_comes_first is None:
            self._side_comes_first = False
        return self._at(len(self.sites) + (not self._side_comes_first))

    def _at(self, number: int) -> Downsampling:
        return self._downsample if number in self._chosen else self._padded


def at_sites(variant: Variant, sites: Collection[int]) -> Variant:
    """Return the variant with its down-sampling at these sites only, to build one network.

    Raises:
        SpecError: It halves padded everywhere, so that there is nothing to choose.
    """
    if type(variant.downsample) is Padded:
        raise SpecError(
            f"variant {variant.name!r} halves as orig does at every site, so none can be chosen; "
            "use down@2,3, or ours@2,3 for the hybrid stem as well"
        )
    return dataclasses.replace(variant, downsample=SiteChoice(variant.downsample, sites))
