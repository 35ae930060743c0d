"""What a device can resolve: one file against itself, slowed by a handicap that is known.

The harness spins for a share of each inference's own duration, inside the timed region. The
statistics are not told: to them it is a campaign like any other. Since the truth is known, the
campaign can be judged: did the interval hold it, and did the verdict find it?
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from android_bench.campaign.bench import Bench
from android_bench.campaign.contest import BenchFile, Contest
from android_bench.campaign.result import CampaignResult
from android_bench.campaign.series import Outcome, run_series
from android_bench.records import Rules
from android_bench.statistics.comparison import Comparison, Verdict
from pfd_models.errors import DeviceError, InputError

__all__ = [
    "BUDGET_SECONDS",
    "HANDICAPS",
    "PRECISION",
    "QualifiedRun",
    "RepeatedRuns",
    "find_resolution",
    "group_runs",
    "judge_campaign",
    "qualify",
]

HANDICAPS = (0.0, 0.005, 0.01, 0.02, 0.05)
"""Shares of an inference's duration that are added to it."""

PRECISION = 0.0035
"""Half-width to reach: one as wide as the effect finds it only every second time."""

BUDGET_SECONDS = 180.0
"""Time for each handicap; a narrower interval takes longer."""

SHARE_FOUND = 0.8
"""Of repeated campaigns, the share that must find a handicap for it to count as resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualifiedRun:
    """A campaign whose truth is known.

    Attributes:
        handicap: The share that was added; the true ratio is one more.
        result: The campaign.
    """

    handicap: float
    result: CampaignResult

    @property
    def seconds(self) -> float:
        """Device time of its blocks or heats, from the first to the last."""
        return self.result.seconds

    @property
    def comparison(self) -> Comparison | None:
        """The slowed run against the plain one; None where there were too few rounds."""
        return self.result.comparisons[0] if self.result.comparisons else None

    @property
    def covered(self) -> bool | None:
        """Whether the interval holds the truth; None where there is no interval."""
        return None if self.comparison is None else self.comparison.covers(1.0 + self.handicap)

    @property
    def found(self) -> bool:
        """Whether the verdict is right: slower, or nothing to find where nothing was added."""
        if self.comparison is None:
            return False
        right = Verdict.SLOWER if self.handicap > 0 else Verdict.NOT_RESOLVED
        return self.comparison.verdict is right


def qualify(
    bench: Bench,
    file: BenchFile,
    engine: str,
    rules: Rules,
    handicaps: Sequence[float] = HANDICAPS,
    *,
    repeats: int = 1,
    resume: bool = False,
) -> Iterator[Outcome]:
    """Run campaigns with each handicap, yielding each as it ends; `judge_campaign` takes results.

    Args:
        bench: Device, store and who watches.
        file: What runs.
        engine: By which engine.
        rules: As for any campaign; precision and budget are what is qualified.
        handicaps: Shares from 0 to 10.
        repeats: Campaigns with each handicap; all handicaps take turns, so that they share the
            weather of the day.
        resume: As in `run_series`.

    Raises:
        InputError: A handicap is out of range or given twice.
    """
    for handicap in handicaps:
        if not 0.0 <= handicap <= 10.0:
            raise InputError(f"handicap {handicap} is out of range: give a share from 0 to 10")
    if not handicaps or len({_to_ppm(handicap) for handicap in handicaps}) < len(handicaps):
        raise InputError(f"handicaps {list(handicaps)}: give at least one, each once")
    if repeats < 1:
        raise InputError(f"repeats is {repeats}: give at least 1")
    todo = [
        _plan(file, engine, rules, handicap, repeat)
        for repeat in range(repeats)
        for handicap in handicaps
    ]
    return _until_refused(run_series(bench, todo, resume=resume))


def _until_refused(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Give outcomes up to the first whose file was refused: it would be each time."""
    for outcome in outcomes:
        yield outcome
        if not all(isinstance(failure.error, DeviceError) for failure in outcome.failures):
            return


def _plan(
    file: BenchFile, engine: str, rules: Rules, handicap: float, repeat: int
) -> tuple[Contest, Rules]:
    label = file.manifest.variant or file.manifest.stem
    slowed = f"{label} slowed"
    again = f", run {repeat + 1}" if repeat else ""
    contest = Contest(
        name=f"qualify {file.manifest.stem} with {engine}, {handicap:.3%} slower{again}",
        engine=engine,
        entries=((label, file), (slowed, file)),
    )
    each = dataclasses.replace(
        rules,
        purpose="qualify",
        handicap_ppm={slowed: _to_ppm(handicap)},
        seed=(rules.seed + repeat) % 2**32,
    )
    return contest, each


def _to_ppm(handicap: float) -> int:
    return round(handicap * 1e6)


def judge_campaign(result: CampaignResult) -> QualifiedRun:
    """Return a stored campaign of this kind with its truth.

    Raises:
        InputError: It is no campaign of this kind.
    """
    rules = result.campaign.rules
    if rules.purpose != "qualify":
        raise InputError(
            f"campaign {result.campaign.campaign_id} compares variants and its truth is unknown: "
            "name one that qualify made"
        )
    return QualifiedRun(handicap=max(rules.handicap_ppm.values()) / 1e6, result=result)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedRuns:
    """All campaigns with one handicap.

    Attributes:
        handicap: The share that was added.
        runs: The campaigns, one at least.
    """

    handicap: float
    runs: tuple[QualifiedRun, ...]

    @property
    def found(self) -> int:
        """How many have the right verdict."""
        return sum(run.found for run in self.runs)

    @property
    def is_resolved(self) -> bool:
        """Whether four in five have it."""
        return self.found >= SHARE_FOUND * len(self.runs)

    @property
    def bias(self) -> float | None:
        """Mean of the estimates less the truth, as a share; None where there is none."""
        ratios = [run.comparison.ratio for run in self.runs if run.comparison is not None]
        return statistics.fmean(ratios) - 1.0 - self.handicap if ratios else None

    @property
    def seconds(self) -> tuple[float, float]:
        """Device time of the median campaign, and of the slowest of the fastest four in five."""
        times = sorted(run.seconds for run in self.runs)
        return statistics.median(times), times[math.ceil(SHARE_FOUND * len(times)) - 1]


def group_runs(runs: Sequence[QualifiedRun]) -> list[RepeatedRuns]:
    """Gather campaigns with the same handicap, the smallest first."""
    handicaps = sorted({run.handicap for run in runs})
    return [
        RepeatedRuns(handicap=each, runs=tuple(run for run in runs if run.handicap == each))
        for each in handicaps
    ]


def find_resolution(runs: Sequence[QualifiedRun]) -> float | None:
    """Return the smallest handicap that was found together with all larger ones, or None."""
    smallest = None
    for group in reversed(group_runs(runs)):
        if group.handicap == 0.0 or not group.is_resolved:
            break
        smallest = group.handicap
    return smallest
