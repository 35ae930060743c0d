"""How a variant is spelled: ``ours``, or ``down@2,3`` for some of its down-sampling sites only.

No torch here: command lines read these before anything is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pfd_models.errors import SpecError

__all__ = ["VariantName", "parse_variant", "split_variants"]

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
