"""Elements of an axis by constant indices, in the cheapest form that stays in the delegate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.subsample import subsample

__all__ = ["take"]

#: Above this many SLICEs one GATHER is smaller, although it is not delegated.
MOST_RUNS = 16


def take(build: Builder, x: Tensor, axis: int, indices: Sequence[int]) -> Tensor:
    """Take elements of a physical axis, repeated, skipped, reversed or in any order.

    Args:
        build: The graph that grows.
        x: What is taken from.
        axis: Physical axis.
        indices: Source element of each element of the result, none negative.
    """
    indices = list(indices)
    size = x.shape[axis]
    if indices == list(range(size)):
        return x
    if (found := find_repeats(indices)) is not None:
        times, skipped = found
        first, count = indices[0], indices[-1] + 1 - indices[0]
        grown = repeat(build, build.slice(x, axis, first, count), axis, times)
        return build.slice(grown, axis, skipped, len(indices))
    steps = set(np.diff(indices).tolist())
    if len(steps) == 1 and min(steps) > 1:
        rank = len(x.shape)
        begin, sizes, step = [0] * rank, list(x.shape), [1] * rank
        begin[axis], sizes[axis], step[axis] = indices[0], len(indices), min(steps)
        return subsample(build, x, begin, sizes, step)
    runs = consecutive_runs(indices)
    if len(runs) <= MOST_RUNS:
        return build.concat([build.slice(x, axis, start, n) for start, n in runs], axis)
    shape = [len(indices) if i == axis else d for i, d in enumerate(x.shape)]
    operand = build.const_tensor("indices", indices, np.int32)
    return build.emit("GATHER", [x, operand], shape, {"axis": axis, "batchDims": 0})


def find_repeats(indices: Sequence[int]) -> tuple[int, int] | None:
    """Find how often each element is repeated, and how many of the first one's copies are missing.

    None where elements are not repeated equally often, the first and last at most that often.
    """
    lengths = [len(list(copies)) for _, copies in groupby(indices)]
    times = max(lengths)
    skipped = times - lengths[0]
    expected = [indices[0] + (skipped + i) // times for i in range(len(indices))]
    return (times, skipped) if times > 1 and expected == list(indices) else None


def repeat(build: Builder, x: Tensor, axis: int, times: int) -> Tensor:
    """Repeat each element: copies side by side on the next axis, seen as more of this one.

    RESIZE_NEAREST_NEIGHBOR is not delegated; CONCATENATION and RESHAPE are.
    """
    inner = int(np.prod(x.shape[axis + 1 :]))
    rows = int(np.prod(x.shape[: axis + 1]))
    flat = build.reshape(x, (1, 1, rows, inner))
    wide = build.concat([flat] * times, 3)
    shape = list(x.shape)
    shape[axis] *= times
    return build.reshape(wide, shape)


def consecutive_runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Split indices into (start, length) of ascending neighbours."""
    breaks = [i + 1 for i, (a, b) in enumerate(pairwise(indices)) if b != a + 1]
    edges = [0, *breaks, len(indices)]
    return [(indices[a], b - a) for a, b in pairwise(edges)]
