"""The second figure: the ratio at undisturbed speed, what a quiet machine would say. Pure.

Disturbances only ever slow. The fastest inference of a turn, or of a block, is its least
disturbed one, and the lowest quarter of these minima comes from the calmest parts of the time:
their mean hardly moves with the weather.

- Turns: in each heat the mean of the lowest quarter of its turns' minima, for each process; the
  heat's number is the log-ratio of two of these, the estimate the trimmed mean over heats.
- Blocks: the mean of the lowest quarter of all block minima of a variant, over the baseline's.

The interval is a bootstrap over what is independent: heats, or rounds of blocks. With few of them
a percentile interval is too narrow; its levels are moved outwards to make up for that.

Two variants may differ otherwise at undisturbed speed than under the conditions of the day, as
where one of them waits for memory that a neighbour uses too; `explain_disagreement` says so where
the two figures differ beyond their intervals.

Source: Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69
(2015), on the expanded percentile interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from android_bench.records import Block, TurnSamples
from android_bench.statistics.comparison import Comparison
from android_bench.statistics.design import Design, is_disturbed
from android_bench.statistics.intervals import MIN_ROUNDS
from android_bench.statistics.stopping import split_confidence
from android_bench.statistics.turns import find_minima, trimmed_mean
from pfd_models.errors import InputError

__all__ = [
    "RULE_NAME",
    "average_lowest_quarter",
    "compare_undisturbed_blocks",
    "compare_undisturbed_turns",
    "explain_disagreement",
]

Floats = npt.NDArray[np.float64]

RULE_NAME = "lowest quarter of minima, bootstrap"
RESAMPLES = 2000


def compare_undisturbed_turns(
    design: Design,
    heats: Sequence[TurnSamples],
    discards: Mapping[str, int],
    *,
    cpu_masks: Sequence[int] = (),
) -> tuple[Comparison, ...]:
    """Compare every variant with the baseline at undisturbed speed, from turns.

    Args:
        design: What is compared; its seed makes the bootstrap repeatable.
        heats: The good ones.
        discards: Variant to the inferences at the start of its turns that do not count.
        cpu_masks: One for each heat, bit i set: CPU i was allowed, 0 when not pinned; none when
            no heat was.

    Returns:
        One figure per candidate; none for fewer than four heats.
    """
    masks = cpu_masks or [0] * len(heats)
    levels = [
        _find_levels(design, heat, discards, mask) for heat, mask in zip(heats, masks, strict=True)
    ]
    made = []
    for label in design.candidates:
        both = [heat for heat in levels if label in heat and design.baseline in heat]
        log_ratios = np.array([heat[label] - heat[design.baseline] for heat in both])
        made.append(_compare(design, label, log_ratios, _average_heats))
    return tuple(one for one in made if one is not None)


def compare_undisturbed_blocks(design: Design, blocks: Iterable[Block]) -> tuple[Comparison, ...]:
    """Compare every variant with the baseline at undisturbed speed, from blocks.

    Args:
        design: What is compared; its seed makes the bootstrap repeatable.
        blocks: In any order, repeats and disturbed ones included.

    Returns:
        One figure per candidate; none for fewer than four complete rounds.
    """
    least: dict[int, dict[str, float]] = {}
    for block in blocks:
        if not is_disturbed(block):
            label = design.variant_of(block.label)
            least.setdefault(block.round, {})[label] = float(block.run.samples_ns.min())
    rounds = [least[n] for n in sorted(least) if set(design.labels) <= set(least[n])]
    made = []
    for label in design.candidates:
        minima = np.array([[one[label], one[design.baseline]] for one in rounds])
        made.append(_compare(design, label, minima, _divide_lowest_quarters))
    return tuple(one for one in made if one is not None)


def explain_disagreement(typical: Comparison, undisturbed: Comparison) -> str:
    """Say what it means when the two figures of a variant differ beyond their intervals.

    Returns:
        One sentence, or nothing where the intervals overlap.

    Raises:
        InputError: if the figures are not of the same variants.
    """
    if (typical.label, typical.baseline) != (undisturbed.label, undisturbed.baseline):
        raise InputError(
            f"the figures are of {typical.label!r} and of {undisturbed.label!r}: give two of"
            " the same variant"
        )
    if typical.low <= undisturbed.high and undisturbed.low <= typical.high:
        return ""
    more, less = typical.label, typical.baseline
    if typical.ratio < undisturbed.ratio:
        more, less = less, more
    return (
        f"{typical.label} against {typical.baseline} is {typical.ratio - 1.0:+.2%} as the device"
        f" was, but {undisturbed.ratio - 1.0:+.2%} at undisturbed speed: what disturbed the device"
        f" (other work on it, a lower clock, heat) slowed {more} more than {less}; an app on a busy"
        " device sees the first figure, on an idle one the second"
    )


def _find_levels(
    design: Design, heat: TurnSamples, discards: Mapping[str, int], cpu_mask: int
) -> dict[str, float]:
    """Variant to the log of its undisturbed time in a heat; the twin is a baseline too."""
    skipped = [discards[design.variant_of(label)] for label in heat.children]
    levels: dict[str, list[float]] = {}
    for label, minima in zip(heat.children, find_minima(heat, skipped, cpu_mask), strict=True):
        if len(minima):
            level = float(np.log(average_lowest_quarter(minima)))
            levels.setdefault(design.variant_of(label), []).append(level)
    return {label: float(np.mean(each)) for label, each in levels.items()}


def _average_heats(log_ratios: Floats) -> Floats:
    """(resamples,) trimmed mean of (resamples, heats)."""
    return trimmed_mean(log_ratios.T)


def _divide_lowest_quarters(minima: Floats) -> Floats:
    """(resamples,) log-ratio of (resamples, rounds, 2) minima of variant and baseline."""
    lowest = np.log(average_lowest_quarter(minima.transpose(1, 0, 2)))
    return np.asarray(lowest[:, 0] - lowest[:, 1])


def average_lowest_quarter(minima: Floats) -> Floats:
    """(...) mean of the lowest quarter of (n, ...), of the lowest one at least."""
    return np.asarray(np.sort(minima, axis=0)[: max(len(minima) // 4, 1)].mean(axis=0))


def _compare(
    design: Design, label: str, values: Floats, statistic: Callable[[Floats], Floats]
) -> Comparison | None:
    """The statistic of (n, ...) values with its bootstrap interval; None for too few."""
    n = len(values)
    if n < MIN_ROUNDS:
        return None
    drawn = np.random.default_rng(design.seed).integers(n, size=(RESAMPLES, n))
    each = split_confidence(design.confidence, len(design.candidates))
    reach = np.sqrt(n / (n - 1)) * stats.t.ppf(0.5 + 0.5 * each, n - 1)
    tail = float(stats.norm.sf(reach))
    low, high = np.exp(np.quantile(statistic(values[drawn]), [tail, 1.0 - tail]))
    return Comparison(
        label=label,
        baseline=design.baseline,
        ratio=float(np.exp(statistic(values[None])[0])),
        low=float(low),
        high=float(high),
        confidence=design.confidence,
        n_rounds=n,
        noise_floor=None,
        rule=RULE_NAME,
    )
