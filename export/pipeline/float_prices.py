"""What layers in float cost the files of an 8-bit set: delegates, size and time."""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.sets.manifest import Artifact, FloatPrice

if TYPE_CHECKING:
    from export.formats import WriteOptions
    from export.graph.program import Program
    from export.network.inputs import Arrays
    from export.quantization.build import EightBit

__all__ = ["measure_prices"]

TURNS = 20
"""How often either file is run; they take turns, so that what slows the computer slows both."""


def measure_prices(
    eight_bit: EightBit,
    program: Program,
    files: Sequence[tuple[Artifact, Path]],
    options: WriteOptions,
) -> tuple[FloatPrice, ...]:
    """Write the same network with nothing kept in float, and compare each file with its twin.

    Args:
        eight_bit: The network with layers in float.
        program: The network in float.
        files: Of `eight_bit`, each format after the one it is made from, with where they lie.
        options: That they were written with.
    """
    from export.formats import get_format

    plain = eight_bit.quantize_all(program)
    # An input that only layers in float read is float where the twin's is integers.
    samples = eight_bit.feed(eight_bit.quantized), eight_bit.feed(plain)
    prices = []
    with tempfile.TemporaryDirectory() as folder:
        for artifact, path in files:
            made, twin = get_format(artifact.format), Path(folder) / f"plain.{artifact.format}"
            source = None if made.NEEDS is None else twin.with_suffix(f".{made.NEEDS}")
            written = made.write(plain.program, twin, replace(options, made_from=source))
            prices.append(
                FloatPrice(
                    format=artifact.format,
                    delegates=written.delegates,
                    size_bytes=twin.stat().st_size,
                    time_ratio=_compare_times((made.load(path), made.load(twin)), samples),
                    machine=platform.machine(),
                )
            )
    return tuple(prices)


def _compare_times(
    runs: tuple[Callable[[Arrays], Arrays], ...], samples: tuple[Arrays, ...]
) -> float:
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS + 1):
        for run, sample, seconds in zip(runs, samples, times, strict=True):
            begin = time.perf_counter()
            run(sample)
            if turn:  # the first warms up
                seconds.append(time.perf_counter() - begin)
    return statistics.median(times[0]) / statistics.median(times[1])
