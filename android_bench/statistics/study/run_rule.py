"""Apply a stopping rule to many simulated campaigns at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from android_bench.statistics import intervals
from android_bench.statistics.design import Design
from android_bench.statistics.stopping import Rule, split_confidence

__all__ = ["Stopped", "run_rule"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Where a rule stopped n campaigns of k-1 comparisons each.

    Attributes:
        centre: (campaigns, k-1), log of the estimated ratio.
        half_width: (campaigns, k-1).
        rounds: (campaigns,).
        seconds: (campaigns,) of device time.
        ever_missed: (campaigns,), whether any interval on the way, or the last, left out the truth.
    """

    centre: Floats
    half_width: Floats
    rounds: npt.NDArray[np.int64]
    seconds: Floats
    ever_missed: npt.NDArray[np.bool_]


def run_rule(
    rule: Rule, design: Design, log_ratios: Floats, elapsed: Floats, truth: Floats
) -> Stopped:
    """Apply a rule to campaigns, round by round, until the last has stopped.

    Args:
        rule: When to stop and what to report.
        design: Precision, budget and confidence.
        log_ratios: (campaigns, rounds, k-1).
        elapsed: (campaigns, rounds), device seconds when a round was complete.
        truth: (k-1,) true log-ratios, only to see whether intervals on the way missed them.

    Returns:
        The state of every campaign when it stopped: all its intervals narrow enough, or the
        budget or the rounds at an end.
    """
    campaigns, rounds, comparisons = log_ratios.shape
    each = split_confidence(design.confidence, comparisons)
    narrow = np.log1p(design.precision)
    centre = np.full((campaigns, comparisons), np.nan)
    half_width = np.full((campaigns, comparisons), np.nan)
    stopped_at = np.zeros(campaigns, dtype=np.int64)
    ever_missed = np.zeros(campaigns, dtype=bool)
    running = np.arange(campaigns)
    for n in range(intervals.MIN_ROUNDS, rounds + 1):
        over = elapsed[running, n - 1] >= design.budget_seconds
        looking = rule.may_stop(n, design)
        if not (looking or over.any() or n == rounds):
            continue
        series = log_ratios[running, :n].transpose(0, 2, 1).reshape(-1, n)
        middle, half = (part.reshape(-1, comparisons) for part in rule.interval(series, each))
        stops = over | (n == rounds)
        if looking:
            stops = stops | (half <= narrow).all(axis=1)
        missed = (np.abs(middle - truth) > half).any(axis=1)
        ever_missed[running] |= missed & (looking | stops)
        done = running[stops]
        centre[done], half_width[done], stopped_at[done] = middle[stops], half[stops], n
        running = running[~stops]
        if len(running) == 0:
            break
    return Stopped(
        centre=centre,
        half_width=half_width,
        rounds=stopped_at,
        seconds=elapsed[np.arange(campaigns), stopped_at - 1],
        ever_missed=ever_missed,
    )
