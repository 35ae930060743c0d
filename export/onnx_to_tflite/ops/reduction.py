"""ReduceMean, ReduceSum, ReduceMax, ReduceMin, and Softmax."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.reader import Node, refuse

REDUCTIONS = {
    "ReduceMax": "REDUCE_MAX",
    "ReduceMean": "MEAN",
    "ReduceMin": "REDUCE_MIN",
    "ReduceSum": "SUM",
}


def reduced_axes(node: Node, build: Builder) -> tuple[int, ...]:
    """Axes that a node reduces, all of them where it names none."""
    rank = len(build.shape(node.inputs[0]))
    axes = build.ints(node, 1, "axes")
    if not axes:
        return () if node.attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted({axis % rank for axis in axes}))


@lowers(*REDUCTIONS, layout="any")
def reduction(node: Node, build: Builder) -> None:
    """MEAN, SUM, REDUCE_MAX, REDUCE_MIN over the axes as they lie, so none is transposed."""
    axes = reduced_axes(node, build)
    keep = bool(node.attrs.get("keepdims", 1))
    value = build.value(node.inputs[0])
    if not axes or not value.order:
        build.bind(node.outputs[0], value.tensor, value.order)
        return
    places = sorted(value.order.index(axis) for axis in axes)
    shape = value.tensor.shape
    kept = [1 if i in places else d for i, d in enumerate(shape)]
    operand = build.const_tensor("axes", places, np.int32)
    y = build.emit(REDUCTIONS[node.op_type], [value.tensor, operand], kept, {"keepDims": True})
    order = value.order
    if not keep:
        # Kept, then reshaped: the delegate's kernel keeps the axes, and RESHAPE costs nothing.
        order = tuple(a - sum(r < a for r in axes) for a in value.order if a not in axes)
        y = build.reshape(y, [d for i, d in enumerate(shape) if i not in places])
    build.bind(node.outputs[0], y, order)


@lowers("Softmax", layout="any")
def softmax(node: Node, build: Builder) -> None:
    """SOFTMAX over the last axis in memory; another axis is brought there first."""
    name = node.inputs[0]
    shape = build.shape(name)
    if not shape:
        raise refuse(node, "the input is a scalar")
    axis = node.attrs.get("axis", -1) % len(shape)
    value = build.value(name)
    order = value.order
    if order[-1] != axis:
        order = (*(a for a in order if a != axis), axis)
    y = build.unary("SOFTMAX", build.tensor(name, order), {"beta": 1.0})
    build.bind(node.outputs[0], y, order)
