"""From the turns of one heat to one number per comparison. Pure.

A **heat** is some seconds in which one fresh process of every variant is alive; they take turns
of a few inferences each. A **row** is one turn of every process; rows are those of a Williams
design, each followed by its mirror image, so that each process comes equally early and equally
often after every other. Within a row, turns are milliseconds apart: what the device does falls
on all of them nearly alike, and the logarithm of the ratio of two of them hardly sees it.

The number of a heat is the trimmed mean of these log-ratios. Heats, not turns, are the unit of
the statistics: all turns of a process share its memory layout, and neighbouring rows share their
weather.

Why the mean of a turn: it gives every disturbance its share of the time; a low quantile of four
samples passes over the timer tick in short inferences and cannot in long ones. Why a quarter is
trimmed at each end: docs/statistics.md has the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from android_bench.records import Flag, TurnSamples
from android_bench.statistics.design import Design
from pfd_models.errors import InputError, unknown

__all__ = [
    "FREQUENCY_STEP",
    "MIN_PAIRS",
    "TRIM",
    "Heat",
    "average_turns",
    "find_displaced",
    "find_kept",
    "find_minima",
    "flag_turns",
    "measure_heat",
    "trimmed_mean",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]

TRIM = 0.25  # of each end: bursts of slowness begin or end within one row in three or four
MIN_PAIRS = 4  # of a heat: a trimmed mean of fewer is none
FREQUENCY_STEP = 0.10  # between the halves of a pair; smaller ones are within a governor's reading
_PAUSE_NS = 100_000_000  # a turn that is longer than its samples by more was not running


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """What one heat says.

    Attributes:
        number: As planned; heats that were given up leave gaps.
        log_ratios: Label, perhaps the control's, to the logarithm of its latency over the
            baseline's. Empty when too few pairs were left.
        n_pairs: Fewest pairs that a log-ratio rests on.
        excluded: Why pairs were left out, to how many.
        flags: Of the whole heat.
    """

    number: int
    log_ratios: Mapping[str, float]
    n_pairs: int
    excluded: Mapping[Flag, int] = field(default_factory=dict)
    flags: frozenset[Flag] = frozenset()

    def __post_init__(self) -> None:
        """Refuse log-ratios that are no numbers.

        Raises:
            InputError: naming heat, label and value.
        """
        for label, log_ratio in self.log_ratios.items():
            if not np.isfinite(log_ratio):
                raise InputError(
                    f"heat {self.number}: the log-ratio of {label!r} is {log_ratio}: it must be"
                    " a finite number; the heat's samples are damaged"
                )


def measure_heat(
    design: Design,
    samples: TurnSamples,
    discards: Mapping[str, int],
    *,
    number: int,
    cpu_mask: int = 0,
    flags: frozenset[Flag] = frozenset(),
) -> Heat:
    """Reduce a heat to its log-ratios.

    Args:
        design: What is compared with what.
        samples: The turns; a last row that is not complete does not count.
        discards: Variant to the inferences at the start of its turns that do not count.
        number: Of the heat.
        cpu_mask: Bit i set: CPU i was allowed; 0 when not pinned.
        flags: What is known of the whole heat, as that its harness was killed.

    Returns:
        The heat; flagged as partial when a comparison has fewer than `MIN_PAIRS` good pairs.

    Raises:
        InputError: if the processes are not the design's, or a row does not hold each of them
            once.
    """
    children, rows = samples.children, _arrange_rows(design, samples)
    skipped = [discards[design.variant_of(label)] for label in children]
    logs = np.log(average_turns(samples, skipped))[rows]
    bad = {flag: turns[rows] for flag, turns in flag_turns(samples, cpu_mask).items()}
    baselines = [i for i, c in enumerate(children) if design.variant_of(c) == design.baseline]
    log_ratios: dict[str, float] = {}
    excluded: Counter[Flag] = Counter()
    fewest = len(rows)
    for child, label in enumerate(children):
        if label == design.baseline:
            continue
        against = [i for i in baselines if i != child]
        involved = [child, *against]
        causes = {flag: turns[:, involved].any(axis=1) for flag, turns in bad.items()}
        causes[Flag.THROTTLED] = _frequency_steps(samples.turn_freq_khz[rows][:, involved])
        causes[Flag.PARTIAL] = ~np.isfinite(logs[:, involved]).all(axis=1)
        good = ~np.logical_or.reduce(list(causes.values()))
        excluded.update({flag: int(hit.sum()) for flag, hit in causes.items() if hit.any()})
        fewest = min(fewest, int(good.sum()))
        if good.sum() >= MIN_PAIRS:
            pairs = logs[good, child][:, None] - logs[good][:, against]
            log_ratios[label] = float(trimmed_mean(pairs).mean())
    if fewest < MIN_PAIRS:
        flags, log_ratios = flags | {Flag.PARTIAL}, {}
    return Heat(
        number=number, log_ratios=log_ratios, n_pairs=fewest, excluded=dict(excluded), flags=flags
    )


def trimmed_mean(pairs: Floats) -> Floats:
    """(...) mean of (rows, ...) log-ratios without the lowest and the highest quarter.

    Of each pair of processes by itself: bursts of slowness make the times of turns skewed, and
    trimming is fair only where both sides of a pair are skewed alike. One turn against the mean
    of two others is not.
    """
    cut = int(TRIM * len(pairs))
    return np.asarray(np.sort(pairs, axis=0)[cut : len(pairs) - cut].mean(axis=0))


def find_kept(samples: TurnSamples, discards: Sequence[int]) -> tuple[Whole, Whole]:
    """(t,) first sample of each turn that counts, and (t,) the one after its last.

    Args:
        samples: The turns.
        discards: Inferences at the start of a turn that do not count, by number of the process.
    """
    end = samples.turn_first[1:]
    skipped = np.asarray(discards, dtype=np.int64)[samples.turn_child]
    return np.minimum(samples.turn_first[:-1] + skipped, end), end


def average_turns(samples: TurnSamples, discards: Sequence[int]) -> Floats:
    """(t,) mean ns of the inferences of each turn that count; NaN where there are none.

    Args:
        samples: The turns.
        discards: Inferences at the start of a turn that do not count, by number of the process.
    """
    begin, end = find_kept(samples, discards)
    total = np.concatenate([[0], np.cumsum(samples.samples_ns)])
    count = end - begin
    means = np.full(len(count), np.nan)
    np.divide(total[end] - total[begin], count, out=means, where=count > 0)
    return means


def find_minima(samples: TurnSamples, discards: Sequence[int], cpu_mask: int = 0) -> list[Floats]:
    """For each process (turns,) ns of the fastest inference that counts of its undisturbed turns.

    Args:
        samples: The turns.
        discards: Inferences at the start of a turn that do not count, by number of the process.
        cpu_mask: Bit i set: CPU i was allowed; 0 when not pinned.
    """
    begin, end = find_kept(samples, discards)
    flagged = np.logical_or.reduce(list(flag_turns(samples, cpu_mask).values()))
    good = np.flatnonzero((begin < end) & ~flagged)
    least = np.array([samples.samples_ns[begin[i] : end[i]].min() for i in good], dtype=np.float64)
    return [least[samples.turn_child[good] == child] for child in range(len(samples.children))]


def find_displaced(samples: TurnSamples, child: int, places: int) -> Floats:
    """(turns, places) ns of a process's turns of so many inferences that follow another's."""
    mine = samples.turn_child == child
    follows = np.zeros(len(mine), dtype=bool)
    follows[1:] = mine[1:] & ~mine[:-1]
    whole = samples.turn_first[:-1][follows & (np.diff(samples.turn_first) == places)]
    times = samples.samples_ns[whole[:, None] + np.arange(places)]
    return np.asarray(times, dtype=np.float64)


def flag_turns(samples: TurnSamples, cpu_mask: int = 0) -> dict[Flag, Bools]:
    """Say which turns were disturbed, and by what.

    Args:
        samples: The turns.
        cpu_mask: Bit i set: CPU i was allowed; 0 when not pinned.

    Returns:
        Flag to (t,) whether it holds: a core was *wrong* when a sample ended on one that is not
        allowed, and *lost* when no later sample of the heat ended on one that is; the clock
        *jumped* when a turn does not begin after the one before, ends before it begins, or is
        shorter or much longer than its samples.
    """
    first, end = samples.turn_first[:-1], samples.turn_first[1:]
    astray = np.zeros(len(samples.cpus), dtype=bool)
    if cpu_mask:
        allowed = [cpu for cpu in range(cpu_mask.bit_length()) if cpu_mask >> cpu & 1]
        astray = (samples.cpus >= 0) & ~np.isin(samples.cpus, allowed)
    back = np.flatnonzero((samples.cpus >= 0) & ~astray)  # the last sample on an allowed core
    lost = astray & (np.arange(len(astray)) > (back[-1] if len(back) else -1))
    total = np.concatenate([[0], np.cumsum(samples.samples_ns)])
    unaccounted = samples.turn_end_ns - samples.turn_begin_ns - (total[end] - total[first])
    jumped = (unaccounted < 0) | (unaccounted > _PAUSE_NS)
    jumped[1:] |= samples.turn_begin_ns[1:] < samples.turn_end_ns[:-1]
    return {
        Flag.WRONG_CORE: _any_of(astray & ~lost, first, end),
        Flag.CORE_LOST: _any_of(lost, first, end),
        Flag.CLOCK_JUMP: jumped,
    }


def _arrange_rows(design: Design, samples: TurnSamples) -> Whole:
    """(rows, children), the turn of each process in each row."""
    known = (*design.labels, design.control_label)
    for label in samples.children:
        if label not in known:
            raise InputError(unknown("label", label, known, owner="this campaign"))
    missing = [label for label in design.labels if label not in samples.children]
    if missing:
        raise InputError(f"the heat has no process of {missing[0]!r}: give whole heats")
    width = len(samples.children)
    rows = len(samples.turn_child) // width
    placed = samples.turn_child[: rows * width].reshape(rows, width)
    wrong = (np.sort(placed, axis=1) != np.arange(width)).any(axis=1)
    if wrong.any():
        raise InputError(
            f"row {int(np.argmax(wrong))} of the heat has turns of processes"
            f" {placed[np.argmax(wrong)].tolist()}: it must have one of each of {width}"
        )
    return np.argsort(placed, axis=1) + width * np.arange(rows)[:, None]


def _frequency_steps(freq_khz: npt.NDArray[np.int32]) -> Bools:
    """(rows,), whether the known frequencies of turns (rows, involved) differ by a step."""
    known = freq_khz > 0
    most = np.where(known, freq_khz, 0).max(axis=1)
    least = np.where(known, freq_khz, np.iinfo(np.int32).max).min(axis=1)
    return np.asarray(most > (1.0 + FREQUENCY_STEP) * least)


def _any_of(samples: Bools, first: Whole, end: Whole) -> Bools:
    """(t,), whether any sample of a turn is marked."""
    marked = np.concatenate([[0], np.cumsum(samples)])
    return np.asarray(marked[end] > marked[first])
