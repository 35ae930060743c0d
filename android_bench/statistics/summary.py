"""What one variant takes: never only a mean. Pure functions on its blocks or turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from android_bench.records import Block, TurnSamples, require_same_arm
from android_bench.statistics.design import Design, is_disturbed
from android_bench.statistics.turns import find_kept
from pfd_models.errors import InputError

__all__ = ["Summary", "quantile", "summarise", "summarise_turns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Latency and context of one variant. Quantiles are over all samples of its good blocks.

    Where variants take turns, a heat is a block, and the inferences at the start of a turn that
    are discarded are no samples.

    Attributes:
        label: The variant.
        n_samples: Timed inferences.
        n_blocks: Good blocks they came from.
        n_disturbed: Blocks left out because a flag forbids to use them.
        median_ns: Of the samples.
        p10_ns: Nine of ten samples took longer.
        p90_ns: One of ten samples took longer.
        min_ns: Of the samples.
        mad_ns: Median absolute deviation from the median, not scaled to a standard deviation.
        cold_load_ns: Median over blocks; None when no block has it.
        first_inference_ns: Median over blocks; None when no block has it.
        peak_memory_kib: Largest VmHWM of a block; None when no block has it.
        threads: Of the engine.
        cores: CPUs that samples ended on, ascending; empty when unknown.
        mean_freq_khz: Mean over blocks of the frequency of those CPUs; None when unread.
        sustained_ratio: Block medians of the last third over those of the first: above 1 the
            device got slower while it worked. None for fewer than three blocks.
    """

    label: str
    n_samples: int
    n_blocks: int
    n_disturbed: int
    median_ns: float
    p10_ns: float
    p90_ns: float
    min_ns: float
    mad_ns: float
    cold_load_ns: float | None
    first_inference_ns: float | None
    peak_memory_kib: int | None
    threads: int
    cores: tuple[int, ...]
    mean_freq_khz: float | None
    sustained_ratio: float | None


def summarise(blocks: Iterable[Block], label: str | None = None) -> Summary:
    """Summarise the blocks of one variant.

    Args:
        blocks: In order of running, disturbed ones included.
        label: What to call it when blocks of the baseline and of its control come together;
            None takes the blocks' own label, which must then be one and the same.

    Returns:
        Numbers from the good blocks, and how many were left out.

    Raises:
        InputError: if there is no good block, or the blocks do not belong together.
    """
    blocks = list(blocks)
    good = [block for block in blocks if not is_disturbed(block)]
    if not good:
        name = label or (blocks[0].label if blocks else "a variant")
        raise InputError(
            f"no undisturbed block of {name!r} among {len(blocks)}: nothing to summarise;"
            " see the flags and measure again"
        )
    for same in [good] if label is None else _by_label(good):
        require_same_arm(same)
    return _summarise(
        good[0].label if label is None else label,
        [block.run.samples_ns for block in good],
        [block.run.cpus for block in good],
        n_disturbed=len(blocks) - len(good),
        load_ns=[block.run.load_ns for block in good],
        first_inference_ns=[block.run.first_inference_ns for block in good],
        vm_hwm_kib=[block.run.vm_hwm_kib for block in good],
        threads=good[0].threads,
        freq_khz=[f for block in good if (f := block.run.mean_freq_khz) is not None],
    )


def summarise_turns(
    design: Design,
    label: str,
    heats: Iterable[TurnSamples],
    discards: int,
    *,
    threads: int,
    n_disturbed: int = 0,
    load_ns: Iterable[int | None] = (),
    first_inference_ns: Iterable[int | None] = (),
    vm_hwm_kib: Iterable[int | None] = (),
) -> Summary:
    """Summarise the turns of one variant, those of the baseline with its twin's.

    Args:
        design: Says which processes are the variant's.
        label: The variant.
        heats: The good ones, in order of running.
        discards: Inferences at the start of its turns that do not count.
        threads: Of the engine.
        n_disturbed: Heats left out because a flag forbids to use them.
        load_ns: Cold loads of its processes.
        first_inference_ns: First inferences of its processes.
        vm_hwm_kib: Peak memory of its processes.

    Raises:
        InputError: if no turn of the variant has a sample that counts.
    """
    samples, cpus, frequencies = [], [], []
    for heat in heats:
        begin, end = find_kept(heat, [discards] * len(heat.children))
        mine = [design.variant_of(child) == label for child in heat.children]
        turns = np.flatnonzero(np.array(mine)[heat.turn_child])
        counted = [np.arange(begin[turn], end[turn]) for turn in turns]
        kept = np.concatenate([np.arange(0), *counted])
        if len(kept):
            samples.append(heat.samples_ns[kept])
            cpus.append(heat.cpus[kept])
        khz = heat.turn_freq_khz[turns]
        frequencies += [float(khz[khz > 0].mean())] if (khz > 0).any() else []
    if not samples:
        raise InputError(f"no turn of {label!r} has a sample that counts: measure again")
    return _summarise(
        label,
        samples,
        cpus,
        n_disturbed=n_disturbed,
        load_ns=load_ns,
        first_inference_ns=first_inference_ns,
        vm_hwm_kib=vm_hwm_kib,
        threads=threads,
        freq_khz=frequencies,
    )


def _summarise(
    label: str,
    samples_ns: Sequence[npt.NDArray[np.int64]],
    cpus: Sequence[npt.NDArray[np.int16]],
    *,
    n_disturbed: int,
    load_ns: Iterable[int | None],
    first_inference_ns: Iterable[int | None],
    vm_hwm_kib: Iterable[int | None],
    threads: int,
    freq_khz: Sequence[float],
) -> Summary:
    samples = np.concatenate(samples_ns).astype(np.float64)
    median = quantile(samples, 0.5)
    return Summary(
        label=label,
        n_samples=len(samples),
        n_blocks=len(samples_ns),
        n_disturbed=n_disturbed,
        median_ns=median,
        p10_ns=quantile(samples, 0.1),
        p90_ns=quantile(samples, 0.9),
        min_ns=float(samples.min()),
        mad_ns=quantile(np.abs(samples - median), 0.5),
        cold_load_ns=_median_of(load_ns),
        first_inference_ns=_median_of(first_inference_ns),
        peak_memory_kib=max((kib for kib in vm_hwm_kib if kib is not None), default=None),
        threads=threads,
        cores=tuple(int(cpu) for cpu in np.unique(np.concatenate(cpus)) if cpu >= 0),
        mean_freq_khz=float(np.mean(freq_khz)) if freq_khz else None,
        sustained_ratio=_sustained_ratio([quantile(each, 0.5) for each in samples_ns]),
    )


def quantile(values: npt.ArrayLike, p: float) -> float:
    """The p-quantile, interpolated linearly (Hyndman and Fan's type 7).

    Args:
        values: At least one number, all finite.
        p: 0 to 1.

    Raises:
        InputError: if there is no value, one is not finite, or p is out of range.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0:
        raise InputError(f"no values to take the {p} quantile of: measure first")
    bad = int(np.count_nonzero(~np.isfinite(numbers)))
    if bad:
        raise InputError(f"{bad} of {numbers.size} values are not finite numbers: no quantile")
    if not 0.0 <= p <= 1.0:
        raise InputError(f"quantile {p}: it must be from 0 to 1")
    return float(np.quantile(numbers, p))


def _by_label(blocks: Sequence[Block]) -> list[list[Block]]:
    labels = dict.fromkeys(block.label for block in blocks)
    return [[block for block in blocks if block.label == label] for label in labels]


def _median_of(values: Iterable[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return quantile(known, 0.5) if known else None


def _sustained_ratio(medians_ns: Sequence[float]) -> float | None:
    third = len(medians_ns) // 3
    if third == 0:
        return None
    return quantile(medians_ns[-third:], 0.5) / quantile(medians_ns[:third], 0.5)
