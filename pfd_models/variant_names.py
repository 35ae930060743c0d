"""How a variant is spelled: ``ours``, or ``down@2,3`` for some of its down-sampling sites only.

No torch here: command lines read these before anything is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pfd_models.errors import SpecError

__all__ = ["STEM", "VariantName", "parse_sites", "parse_variant", "sort_sites", "split_variants"]

STEM = "stem"
"""What the hybrid stem is called in a list of sites."""

_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantName:
    """A variant as the user named it; ``str(it)`` spells it in the one way that is stored.

    Attributes:
        base: The variant that a file of ``pfd_models/variants`` defines.
        sites: The down-sampling steps that are as `base` has them, sorted, the first being 1; all
            others are padded. Empty: all of them are `base`'s.
    """

    base: str
    sites: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Spell it, as ``down@2,3``."""
        return self.base + (f"@{','.join(map(str, self.sites))}" if self.sites else "")

    @property
    def file_word(self) -> str:
        """Return its part of a file's name, as ``down-2-3``: no shell reads anything into it."""
        return "-".join((self.base, *map(str, self.sites)))


def parse_variant(text: str) -> VariantName:
    """Read a variant's name; whether it and its sites exist, only a network can tell.

    Raises:
        SpecError: What follows ``@`` is no list of numbers from 1 on.
    """
    base, at, sites = text.lower().partition("@")
    numbers = [number.strip() for number in sites.split(",")] if at else []
    for number in numbers:
        if not _NUMBER.fullmatch(number):
            raise SpecError(
                f"variant {text!r}: {number!r} is no site; write the numbers of down-sampling "
                f"steps, the first being 1, as {base}@2,3"
            )
    return VariantName(base=base, sites=tuple(sorted({int(number) for number in numbers})))


def split_variants(text: str) -> list[str]:
    """Split a comma list of variants, whose sites are separated by commas too.

    ``orig,down@2,3,ours`` names three: no variant's name is a number.
    """
    names: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if part.isdecimal() and names and "@" in names[-1]:
            names[-1] += f",{part}"
        elif part:
            names.append(part)
    return names


def parse_sites(text: str) -> tuple[str, ...]:
    """Read the sites of a user's module, as ``stem,1,3``, in the order of the network.

    Raises:
        SpecError: A part of it is neither ``stem`` nor a number from 1 on.
    """
    sites = [site.strip().lower() for site in text.split(",")]
    for site in sites:
        if site != STEM and not _NUMBER.fullmatch(site):
            raise SpecError(
                f"{site!r} in {text!r} is no site; write {STEM} and the numbers of down-sampling "
                f"steps, the first being 1, as {STEM},2,3"
            )
    return sort_sites(sites)


def sort_sites(sites: Iterable[str]) -> tuple[str, ...]:
    """Return sites in the order of the network, each once: the stem, then by number."""
    return tuple(sorted(set(sites), key=lambda site: 0 if site == STEM else int(site)))
