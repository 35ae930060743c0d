"""What to make of a turn and of its heat, tried on samples of a real computer.

Blocks of one process are cut into turns as if two processes took them, A B B A: whatever the
log-ratios of such turns say is error. What different processes differ by is missing, and so is
what one displaces from the caches of the other; both are the same for every choice made here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from android_bench.statistics.study.weather_fit import HostSamples, robust_spread

__all__ = ["STATISTICS", "HeatError", "measure_errors"]

Floats = npt.NDArray[np.float64]

# Name to a function of (turns, inferences), giving (turns,).
STATISTICS: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda turns: turns.mean(axis=1),
    "median": lambda turns: np.asarray(np.median(turns, axis=1)),
    "lower quartile": lambda turns: np.asarray(np.quantile(turns, 0.25, axis=1)),
    "minimum": lambda turns: turns.min(axis=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatError:
    """By how much heats of one second err, in units of the log-ratio.

    Attributes:
        spread: Standard deviation.
        robust: Median absolute deviation, scaled to the standard deviation of a Gaussian.
    """

    spread: float
    robust: float


def measure_errors(
    campaigns: Sequence[HostSamples],
    statistic: Callable[[Floats], Floats],
    *,
    discards: int,
    kept: int,
    trims: Sequence[float],
) -> list[HeatError]:
    """Measure how far the trimmed mean of pairs of turns is from 0.

    Args:
        campaigns: Blocks of real samples; each is one heat.
        statistic: What becomes of a turn.
        discards: Inferences at the start of a turn that do not count.
        kept: Inferences that do.
        trims: Shares of the pairs to leave out at each end.

    Returns:
        For each trim the error, scaled to heats whose turns take one second.
    """
    errors: list[list[float]] = [[] for _ in trims]
    seconds = []
    for block in (block for campaign in campaigns for block in campaign.blocks):
        size = discards + kept
        count = len(block) // size // 4 * 4
        if count == 0:
            continue
        turns = np.exp(block[: count * size]).reshape(count, size)
        seconds.append(1e-9 * float(turns.sum()))
        pairs = np.log(statistic(turns[:, discards:])).reshape(-1, 2)
        signs = np.tile([1.0, -1.0], count // 4)  # A B, then B A
        log_ratios = np.sort(signs * (pairs[:, 1] - pairs[:, 0]))
        for trim, found in zip(trims, errors, strict=True):
            cut = int(trim * len(log_ratios))
            found.append(float(log_ratios[cut : len(log_ratios) - cut].mean()))
    scale = float(np.sqrt(np.mean(seconds)))
    return [
        HeatError(spread=scale * float(np.std(e)), robust=scale * robust_spread(np.array(e)))
        for e in errors
    ]
