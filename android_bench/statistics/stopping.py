"""Rules that decide after each round whether an interval is narrow enough: ours and its rivals.

A rule is an interval and the rounds at which it is looked at. `OURS` is what the bench uses;
the others are what it was compared with in `android_bench.statistics.study.coverage`, by
``python tools/coverage.py --compare``. All run through the same code, many campaigns at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats

from android_bench.statistics import intervals
from android_bench.statistics.design import Campaign
from android_bench.statistics.study.alpha_spending import boundaries, obrien_fleming, pocock

__all__ = ["ANYTIME", "INFLATION", "OURS", "Rule", "Stopped", "rivals", "run_rule", "simultaneous"]

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

    def may_stop(self, rounds: int, campaign: Campaign) -> bool:
        """Say whether the interval is looked at after this many rounds."""
        first = campaign.min_rounds if self.min_rounds is None else self.min_rounds
        return rounds >= first and (self.looks is None or rounds in self.looks)


OURS = Rule(name="trimmed t", interval=partial(intervals.trimmed_t, inflation=INFLATION))

# For a campaign that somebody stopped by hand, perhaps because of what the progress line said.
ANYTIME = Rule(name="mixture t sequence", interval=intervals.mixture_t)


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


def simultaneous(confidence: float, comparisons: int) -> float:
    """The confidence of each of several intervals that are to hold together (Bonferroni)."""
    return 1.0 - (1.0 - confidence) / max(comparisons, 1)


def run_rule(
    rule: Rule, campaign: Campaign, log_ratios: Floats, elapsed: Floats, truth: Floats
) -> Stopped:
    """Apply a rule to campaigns, round by round, until the last has stopped.

    Args:
        rule: When to stop and what to report.
        campaign: Precision, budget and confidence.
        log_ratios: (campaigns, rounds, k-1).
        elapsed: (campaigns, rounds), device seconds when a round was complete.
        truth: (k-1,) true log-ratios, only to see whether intervals on the way missed them.

    Returns:
        The state of every campaign when it stopped: all its intervals narrow enough, or the
        budget or the rounds at an end.
    """
    campaigns, rounds, comparisons = log_ratios.shape
    each = simultaneous(campaign.confidence, comparisons)
    narrow = np.log1p(campaign.precision)
    centre = np.full((campaigns, comparisons), np.nan)
    half_width = np.full((campaigns, comparisons), np.nan)
    stopped_at = np.zeros(campaigns, dtype=np.int64)
    ever_missed = np.zeros(campaigns, dtype=bool)
    running = np.arange(campaigns)
    for n in range(intervals.MIN_ROUNDS, rounds + 1):
        over = elapsed[running, n - 1] >= campaign.budget_seconds
        looking = rule.may_stop(n, campaign)
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


def rivals(campaign: Campaign, most_rounds: int) -> tuple[Rule, ...]:
    """The rules ours was compared with.

    Args:
        campaign: Confidence and variants, which the group-sequential boundaries depend on.
        most_rounds: Rounds within the budget: their last look.
    """
    each = simultaneous(campaign.confidence, len(campaign.candidates))
    looks = _geometric(campaign.min_rounds, most_rounds)
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
        ANYTIME,
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
