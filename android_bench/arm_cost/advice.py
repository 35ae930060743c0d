"""Which down-sampling sites to convert: each alone, all together, and the cheapest choice.

Sites can act on one another, since one that is padding-free can make later maps smaller. So a
choice is never judged by a sum: the choice that is named was built and counted itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from android_bench.records import Counts

__all__ = ["MOST_EXHAUSTIVE", "Advice", "advise"]

Sites = frozenset[str]

ADDITIVE = 0.001
"""By what share of the original's instructions parts may miss the whole and still add up."""

MOST_EXHAUSTIVE = 8
"""Sites of which every subset is counted on demand: 256 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What conversions cost or save in one engine and precision.

    Attributes:
        sites: All there are, in the order of the network.
        counted: What an inference executes, by the sites that are converted; the empty set is the
            original. Choices that cannot be built are missing.
    """

    sites: tuple[str, ...]
    counted: Mapping[Sites, Counts]

    @property
    def original(self) -> Counts:
        """Return what the network executes with nothing converted."""
        return self.counted[frozenset()]

    @property
    def whole(self) -> Counts | None:
        """Return what it executes with everything converted; None where that cannot be built."""
        return self.counted.get(frozenset(self.sites))

    @property
    def cheapest(self) -> Sites:
        """Return the choice with the fewest instructions of those counted, the smallest of equals.

        The original is one of them, so none is named that is dearer.
        """
        return min(
            self.counted,
            key=lambda chosen: (self.counted[chosen].instructions, len(chosen), sorted(chosen)),
        )

    def parts(self, field: str) -> int | None:
        """Return the sum of what each site alone adds to a field; None where one is missing."""
        alone = [self.counted.get(frozenset([site])) for site in self.sites]
        base = int(getattr(self.original, field))
        if any(counts is None for counts in alone):
            return None
        return sum(int(getattr(counts, field)) - base for counts in alone)

    @property
    def adds_up(self) -> bool | None:
        """Say whether the instructions of the parts make the whole's; None where one is missing."""
        parts = self.parts("instructions")
        if parts is None or self.whole is None:
            return None
        base = self.original.instructions
        return abs(self.whole.instructions - base - parts) <= ADDITIVE * base


def advise(
    sites: Sequence[str],
    count: Callable[[Sites], Counts | None],
    *,
    exhaustive: bool = False,
) -> Advice:
    """Count the original, each site alone, all together, and go on to the cheapest choice.

    Without `exhaustive` the search starts at the cheapest of these and of all sites that save
    alone. It changes one site at a time to what is cheapest, until no change is cheaper.

    Args:
        sites: All there are, in the order of the network.
        count: Tells what an inference with these sites converted executes; None where it cannot
            be built. It is asked once for each choice.
        exhaustive: Count every subset.

    Raises:
        ValueError: The original cannot be counted.
    """
    seen: dict[Sites, Counts | None] = {}

    def see(chosen: Sites) -> None:
        if chosen not in seen:
            seen[chosen] = count(chosen)

    def result() -> Advice:
        known = {chosen: counts for chosen, counts in seen.items() if counts is not None}
        if frozenset() not in known:
            raise ValueError("the original was not counted")
        return Advice(sites=tuple(sites), counted=known)

    see(frozenset())
    for site in sites:
        see(frozenset([site]))
    see(frozenset(sites))
    if exhaustive:
        for size in range(2, len(sites)):
            for chosen in combinations(sites, size):
                see(frozenset(chosen))
        return result()
    first = result()
    base = first.original.instructions
    see(
        frozenset(
            site
            for site in sites
            if (alone := first.counted.get(frozenset([site]))) and alone.instructions < base
        )
    )
    while True:
        best = result().cheapest
        for site in sites:
            see(best ^ {site})
        if result().cheapest == best:
            return result()
