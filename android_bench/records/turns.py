"""Every sample of one heat, in which processes that are alive at once take turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TurnSamples"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TurnSamples:
    """The turns of one heat in the order they were taken; only whole ones.

    Times are nanoseconds of CLOCK_MONOTONIC, frequencies kHz.

    Attributes:
        children: Label by child number.
        turn_child: (t,) int16, whose turn it was.
        turn_first: (t + 1,) int64; turn i has the samples turn_first[i]:turn_first[i + 1].
        turn_begin_ns: (t,) int64.
        turn_end_ns: (t,) int64.
        turn_freq_khz: (t,) int32, of the CPU that the turn began on; -1 when unknown.
        samples_ns: (n,) int64, duration of every inference.
        cpus: (n,) int16, the CPU each sample ended on, -1 when unknown.
    """

    children: tuple[str, ...]
    turn_child: NDArray[np.int16]
    turn_first: NDArray[np.int64]
    turn_begin_ns: NDArray[np.int64]
    turn_end_ns: NDArray[np.int64]
    turn_freq_khz: NDArray[np.int32]
    samples_ns: NDArray[np.int64]
    cpus: NDArray[np.int16]
