"""When to stop: rules that decide after each round or heat whether an interval is narrow enough.

A rule is an interval and the rounds (or heats) at which it is looked at. What the bench's rules
were compared with stands in `android_bench.statistics.study.rivals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from android_bench.statistics import intervals
from android_bench.statistics.design import Design, Pairing

__all__ = [
    "HEATS_RULE",
    "HEAT_INFLATION",
    "INFLATION",
    "MIN_HEATS",
    "MIXTURE_T_HEATS_RULE",
    "MIXTURE_T_RULE",
    "TRIMMED_T_RULE",
    "Interval",
    "Rule",
    "choose_rule",
    "split_confidence",
]

Floats = npt.NDArray[np.float64]
Interval = Callable[[Floats, float], tuple[Floats, Floats]]

# Looking after every round stops a little too often where the spread happens to look small, and
# rounds are not quite independent. Both shorten the interval; this factor makes up for it. It is
# the smallest at which the worst conditions cover in 96 %, so that a check with 1,000 campaigns
# sees 95 % too: `python tools/coverage.py --pairing blocks --calibrate`.
INFLATION = 1.18

# The same for heats, which are fewer and looked at sooner: the worst conditions cover in 95.7 %,
# so that a check sees no more than 5 % false alarms: `python tools/coverage.py --calibrate`.
HEAT_INFLATION = 1.24
MIN_HEATS = 5  # from here on Student's t asks for less than half as much again as in the limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An interval, and when it is looked at.

    Attributes:
        name: Shown in tables.
        interval: Takes log-ratios (series, n) and a confidence, gives centres and half-widths.
        min_rounds: First look; None leaves it to the design.
        looks: Rounds at which measuring may stop; None for every one.
    """

    name: str
    interval: Interval
    min_rounds: int | None = None
    looks: frozenset[int] | None = None

    def first_look(self, design: Design) -> int:
        """Rounds before which the rule claims nothing."""
        return design.min_rounds if self.min_rounds is None else self.min_rounds

    def may_stop(self, rounds: int, design: Design) -> bool:
        """Say whether the interval is looked at after this many rounds."""
        return rounds >= self.first_look(design) and (self.looks is None or rounds in self.looks)


TRIMMED_T_RULE = Rule(name="trimmed t", interval=partial(intervals.trimmed_t, inflation=INFLATION))
HEATS_RULE = Rule(
    name="trimmed t of heats",
    interval=partial(intervals.trimmed_t, inflation=HEAT_INFLATION),
    min_rounds=MIN_HEATS,
)

# For a campaign that somebody stopped by hand, perhaps because of what the progress line said.
MIXTURE_T_RULE = Rule(name="mixture t sequence", interval=intervals.mixture_t)
MIXTURE_T_HEATS_RULE = Rule(
    name="mixture t sequence of heats",
    interval=partial(intervals.mixture_t, tuned_for=12),
    min_rounds=intervals.MIN_ROUNDS,
)


def choose_rule(design: Design, *, by_hand: bool = False) -> Rule:
    """The rule that makes a campaign's intervals.

    Args:
        design: Blocks or turns.
        by_hand: Whether somebody who may have looked stopped it, or the campaign itself has not
            come to its rule's first look: then only what holds at every length is honest.
    """
    if design.pairing is Pairing.TURNS:
        return MIXTURE_T_HEATS_RULE if by_hand else HEATS_RULE
    return MIXTURE_T_RULE if by_hand else TRIMMED_T_RULE


def split_confidence(confidence: float, comparisons: int) -> float:
    """The confidence of each of several intervals that are to hold together (Bonferroni)."""
    return 1.0 - (1.0 - confidence) / max(comparisons, 1)
