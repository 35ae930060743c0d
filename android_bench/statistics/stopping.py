"""Rules that decide after each round whether an interval is narrow enough.

A rule is an interval and the rounds at which it is looked at. What the bench's rules were
compared with stands in `android_bench.statistics.study.rivals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from android_bench.statistics import intervals
from android_bench.statistics.design import Design

__all__ = ["INFLATION", "MIXTURE_T_RULE", "TRIMMED_T_RULE", "Interval", "Rule", "split_confidence"]

Floats = npt.NDArray[np.float64]
Interval = Callable[[Floats, float], tuple[Floats, Floats]]

# Looking after every round stops a little too often where the spread happens to look small, and
# rounds are not quite independent. Both shorten the interval; this factor makes up for it. It is
# the smallest at which the worst conditions cover in 96 %, so that a check with 1,000 campaigns
# sees 95 % too: `python tools/coverage.py --calibrate`.
INFLATION = 1.18


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An interval, and when it is looked at.

    Attributes:
        name: Shown in tables.
        interval: Takes log-ratios (series, n) and a confidence, gives centres and half-widths.
        min_rounds: First look; None leaves it to the campaign.
        looks: Rounds at which measuring may stop; None for every one.
    """

    name: str
    interval: Interval
    min_rounds: int | None = None
    looks: frozenset[int] | None = None

    def may_stop(self, rounds: int, design: Design) -> bool:
        """Say whether the interval is looked at after this many rounds."""
        first = design.min_rounds if self.min_rounds is None else self.min_rounds
        return rounds >= first and (self.looks is None or rounds in self.looks)


TRIMMED_T_RULE = Rule(name="trimmed t", interval=partial(intervals.trimmed_t, inflation=INFLATION))

# For a campaign that somebody stopped by hand, perhaps because of what the progress line said.
MIXTURE_T_RULE = Rule(name="mixture t sequence", interval=intervals.mixture_t)


def split_confidence(confidence: float, comparisons: int) -> float:
    """The confidence of each of several intervals that are to hold together (Bonferroni)."""
    return 1.0 - (1.0 - confidence) / max(comparisons, 1)
