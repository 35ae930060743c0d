"""Rules that the bench's was compared with, by ``python tools/coverage.py --compare``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from android_bench.statistics import intervals
from android_bench.statistics.design import Design
from android_bench.statistics.stopping import (
    INFLATION,
    MIXTURE_T_RULE,
    Interval,
    Rule,
    split_confidence,
)
from android_bench.statistics.study.alpha_spending import boundaries, obrien_fleming, pocock

__all__ = ["make_rivals"]

Floats = npt.NDArray[np.float64]


def make_rivals(design: Design, most_rounds: int) -> tuple[Rule, ...]:
    """The rules the bench's was compared with.

    Args:
        design: Confidence and variants, which the group-sequential boundaries depend on.
        most_rounds: Rounds within the budget: their last look.
    """
    each = split_confidence(design.confidence, len(design.candidates))
    looks = _geometric(design.min_rounds, most_rounds)
    return (
        Rule(name="t, looked at freely", interval=intervals.mean_t, min_rounds=4),
        Rule(name="t", interval=intervals.mean_t),
        Rule(name="t, widened", interval=_widened(intervals.mean_t)),
        Rule(name="trimmed t, not widened", interval=intervals.trimmed_t),
        Rule(name="signed rank", interval=intervals.signed_rank),
        Rule(name="signed rank, widened", interval=_widened(intervals.signed_rank)),
        Rule(name="two-stage t (Stein)", interval=intervals.two_stage),
        _group_sequential("Pocock spending", looks, boundaries(_share(looks), 1 - each, pocock)),
        _group_sequential(
            "O'Brien-Fleming spending", looks, boundaries(_share(looks), 1 - each, obrien_fleming)
        ),
        MIXTURE_T_RULE,
        Rule(name="asymptotic sequence", interval=intervals.asymptotic_sequence),
    )


def _widened(interval: Interval) -> Interval:
    def widened(log_ratios: Floats, confidence: float) -> tuple[Floats, Floats]:
        centre, half_width = interval(log_ratios, confidence)
        return centre, INFLATION * half_width

    return widened


def _geometric(first: int, last: int) -> list[int]:
    looks = [first]
    while looks[-1] * 1.3 < last:
        looks.append(int(np.ceil(looks[-1] * 1.3)))
    return looks if looks[-1] >= last else [*looks, last]


def _share(looks: list[int]) -> list[float]:
    return [look / looks[-1] for look in looks]


def _group_sequential(name: str, looks: list[int], limits: list[float]) -> Rule:
    """A repeated confidence interval; z boundaries become t quantiles of equal probability."""

    def interval(log_ratios: Floats, confidence: float) -> tuple[Floats, Floats]:
        n = log_ratios.shape[1]
        passed = max(sum(look <= n for look in looks) - 1, 0)
        two_sided = 1.0 - 2.0 * float(stats.norm.sf(limits[passed]))
        return intervals.mean_t(log_ratios, two_sided)

    return Rule(name=name, interval=interval, looks=frozenset(looks))
