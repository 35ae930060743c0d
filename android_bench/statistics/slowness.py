"""The weather of a campaign of turns: how much slower its device was from moment to moment. Pure.

The turns of a row are milliseconds apart and hold every process once. Each is compared with its
own variant's undisturbed level, so that what is left says nothing about which variant is faster
and everything about the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from android_bench.records import HeatRecord
from android_bench.statistics.design import Design
from android_bench.statistics.turns import average_turns, find_minima
from android_bench.statistics.undisturbed import average_lowest_quarter

__all__ = ["Slowness", "measure_slowness", "thin_slowness"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slowness:
    """How slow the device was during one heat.

    Attributes:
        at_ns: (rows,) CLOCK_MONOTONIC, the middle of a row.
        shares: (rows,) how much longer its turns took than at undisturbed speed: 0.1 is 10 %.
    """

    at_ns: Floats
    shares: Floats


def measure_slowness(
    design: Design, heats: Sequence[HeatRecord], *, cpu_mask: int = 0
) -> list[Slowness]:
    """Measure the weather, heat by heat.

    A variant's undisturbed level is that of the second figure, over all heats: the mean of the
    lowest quarter of its turns' minima. A row whose times lie outside the readings of its heat is
    left out, since its clock jumped; so is a row that was cut short.

    Args:
        design: Says which variant each process is.
        heats: Of one campaign, disturbed ones included.
        cpu_mask: Bit i set: CPU i was allowed; 0 when not pinned.
    """
    minima: dict[str, list[Floats]] = {}
    for heat in heats:
        found = find_minima(heat.turns, [child.discards for child in heat.children], cpu_mask)
        for label, least in zip(heat.turns.children, found, strict=True):
            minima.setdefault(design.variant_of(label), []).append(least)
    every = {label: np.concatenate(parts) for label, parts in minima.items()}
    levels = {
        label: float(average_lowest_quarter(least)) if len(least) else np.nan
        for label, least in every.items()
    }
    return [_measure(design, heat, levels) for heat in heats]


def thin_slowness(heats: Sequence[Slowness], most: int) -> list[Slowness]:
    """Average neighbouring rows until there are about as many as asked for, at least one a heat."""
    step = max(1, -(-sum(len(heat.at_ns) for heat in heats) // most))
    return [
        Slowness(at_ns=_average(heat.at_ns, step), shares=_average(heat.shares, step))
        for heat in heats
    ]


def _measure(design: Design, heat: HeatRecord, levels: dict[str, float]) -> Slowness:
    turns, width = heat.turns, len(heat.children)
    rows = len(turns.turn_child) // width
    level = np.array([levels[design.variant_of(label)] for label in turns.children])
    times = average_turns(turns, [child.discards for child in heat.children])
    ratios = (times / level[turns.turn_child])[: rows * width].reshape(rows, width)
    begin = turns.turn_begin_ns[: rows * width : width]
    end = turns.turn_end_ns[width - 1 : rows * width : width]
    shares = ratios.mean(axis=1) - 1.0
    inside = (begin >= heat.before.at_ns) & (end <= heat.after.at_ns) & np.isfinite(shares)
    return Slowness(at_ns=((begin + end) / 2)[inside], shares=shares[inside])


def _average(values: Floats, step: int) -> Floats:
    """(ceil(n / step),) means of neighbouring values; the last may be of fewer."""
    first = np.arange(0, len(values), step)
    if len(first) == 0:
        return values
    counts = np.diff(np.append(first, len(values)))
    return np.asarray(np.add.reduceat(values, first) / counts)
