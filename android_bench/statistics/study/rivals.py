"""Rules that the bench's was compared with, by ``python tools/coverage.py --compare``."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats

from android_bench.statistics import intervals
from android_bench.statistics.design import Design, Pairing
from android_bench.statistics.stopping import (
    HEAT_INFLATION,
    INFLATION,
    Interval,
    Rule,
    choose_rule,
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
    first, turns = choose_rule(design).first_look(design), design.pairing is Pairing.TURNS
    looks = _geometric(first, most_rounds)
    factor = HEAT_INFLATION if turns else INFLATION
    fixed: dict[str, Interval] = {
        "t": intervals.mean_t,
        "t, widened": _widened(intervals.mean_t, factor),
        "trimmed t, not widened": intervals.trimmed_t,
        "signed rank": intervals.signed_rank,
        "signed rank, widened": _widened(intervals.signed_rank, factor),
        "two-stage t (Stein)": partial(intervals.two_stage, first=first),
    }
    return (
        Rule(name="t, looked at freely", interval=intervals.mean_t, min_rounds=4),
        *(Rule(name=n, interval=interval, min_rounds=first) for n, interval in fixed.items()),
        _group_sequential("Pocock spending", looks, boundaries(_share(looks), 1 - each, pocock)),
        _group_sequential(
            "O'Brien-Fleming spending", looks, boundaries(_share(looks), 1 - each, obrien_fleming)
        ),
        choose_rule(design, by_hand=True),
        Rule(name="asymptotic sequence", interval=intervals.asymptotic_sequence, min_rounds=first),
    )


def _widened(interval: Interval, factor: float) -> Interval:
    def widened(log_ratios: Floats, confidence: float) -> tuple[Floats, Floats]:
        centre, half_width = interval(log_ratios, confidence)
        return centre, factor * half_width

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

    return Rule(name=name, interval=interval, min_rounds=looks[0], looks=frozenset(looks))
