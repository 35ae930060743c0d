"""Heats as the native side would give them, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from android_bench.records import TurnSamples


def make_heat(
    children: Sequence[str],
    turns: Sequence[tuple[int, Sequence[float]]],
    *,
    cpus: Sequence[int] | None = None,
    freq_khz: Sequence[int] | None = None,
) -> TurnSamples:
    """Turns one after the other, each the number of a process and its inferences in ns."""
    samples = np.array([ns for _, inferences in turns for ns in inferences]).astype(np.int64)
    lengths = [len(inferences) for _, inferences in turns]
    first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(samples)])
    begin = 1_000_000 + total[first[:-1]] + 1000 * np.arange(len(turns))
    return TurnSamples(
        children=tuple(children),
        turn_child=np.array([child for child, _ in turns], dtype=np.int16),
        turn_first=first,
        turn_begin_ns=begin,
        turn_end_ns=begin + np.diff(total[first]),
        turn_freq_khz=np.array(freq_khz or [-1] * len(turns), dtype=np.int32),
        samples_ns=samples,
        cpus=np.array(cpus or [0] * len(samples), dtype=np.int16),
    )
