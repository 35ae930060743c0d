"""Concat, Split, Slice, Gather with constant indices."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.ops.arithmetic import choose_order
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.subsample import subsample


@lowers("Concat", layout="any")
def concat(node: Node, build: Builder) -> None:
    """CONCATENATION in the order of the largest operand."""
    rank = len(build.shape(node.outputs[0]))
    order = choose_order(build, node.inputs, rank)
    axis = order.index(node.attrs["axis"] % rank)
    operands = [build.tensor(name, order) for name in node.inputs]
    build.bind(node.outputs[0], build.concat(operands, axis), order)


@lowers("Split", layout="any")
def split(node: Node, build: Builder) -> None:
    """One SLICE per part that somebody reads; the parts' sizes are static."""
    if node.input(1):
        build.need_const(node, 1, "the sizes")
    value = build.value(node.inputs[0])
    axis = node.attrs.get("axis", 0) % len(value.order)
    place = value.order.index(axis)
    start = 0
    for name in node.outputs:
        size = build.shape(name)[axis]
        build.bind(name, build.slice(value.tensor, place, start, size), value.order)
        start += size


@lowers("Slice", layout="any")
def slice_(node: Node, build: Builder) -> None:
    """SLICE, or a strided form where a step is larger than one."""
    value = build.value(node.inputs[0])
    shape = build.shape(node.inputs[0])
    rank = len(shape)
    starts, ends = build.ints(node, 1, "starts"), build.ints(node, 2, "ends")
    axes = build.ints(node, 3, "axes") or tuple(range(len(starts or ())))
    steps = build.ints(node, 4, "steps") or (1,) * len(axes)
    if starts is None or ends is None:
        raise refuse(node, "starts and ends are missing")
    begin, stride = [0] * rank, [1] * rank
    for axis, start, step in zip((a % rank for a in axes), starts, steps, strict=True):
        if step < 0:
            raise refuse(node, f"step {step} on axis {axis} reverses it, which is not lowered")
        size = shape[axis]
        begin[axis] = min(max(start + size if start < 0 else start, 0), size)
        stride[axis] = step
    sizes = build.shape(node.outputs[0])
    first = [begin[a] for a in value.order]
    taken = [sizes[a] for a in value.order]
    y = subsample(build, value.tensor, first, taken, [stride[a] for a in value.order])
    build.bind(node.outputs[0], y, value.order)


@lowers("Gather", layout="any")
def gather(node: Node, build: Builder) -> None:
    """Constant indices as SLICEs, concatenated; many scattered ones as GATHER."""
    indices = build.need_const(node, 1, "the indices")
    value = build.value(node.inputs[0])
    shape = build.shape(node.inputs[0])
    axis = node.attrs.get("axis", 0) % len(shape)
    place = value.order.index(axis)
    wanted = [int(i) + shape[axis] if i < 0 else int(i) for i in indices.reshape(-1)]
    runs = consecutive_runs(wanted)
    if len(runs) <= MOST_RUNS:
        parts = [build.slice(value.tensor, place, start, size) for start, size in runs]
        y = build.concat(parts, place)
    else:
        taken = [len(wanted) if i == place else d for i, d in enumerate(value.tensor.shape)]
        operand = build.const_tensor("indices", wanted, np.int32)
        y = build.emit("GATHER", [value.tensor, operand], taken, {"axis": place, "batchDims": 0})
    # The axis makes room for the axes of the indices: none, one or several.
    y = build.reshape(y, (*y.shape[:place], *indices.shape, *y.shape[place + 1 :]))
    grown = tuple(range(axis, axis + indices.ndim))
    before, after = value.order[:place], value.order[place + 1 :]
    shift = indices.ndim - 1
    moved = [tuple(a + shift * (a > axis) for a in part) for part in (before, after)]
    build.bind(node.outputs[0], y, (*moved[0], *grown, *moved[1]))


#: Above this many SLICEs one GATHER is smaller, although it is not delegated.
MOST_RUNS = 16


def consecutive_runs(indices: list[int]) -> list[tuple[int, int]]:
    """Split indices into (start, length) of ascending neighbours."""
    breaks = [i + 1 for i, (a, b) in enumerate(pairwise(indices)) if b != a + 1]
    edges = [0, *breaks, len(indices)]
    return [(indices[a], b - a) for a, b in pairwise(edges)]
