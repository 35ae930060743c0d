"""Sums, means, extremes and norms over axes; Softmax and LogSoftmax."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.ops import NUMBERS, lowers
from export.onnx_to_tflite.ops.activation import clamp
from export.onnx_to_tflite.reader import Node, refuse

REDUCTIONS = {
    "ReduceMax": "REDUCE_MAX",
    "ReduceMean": "MEAN",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
    "ReduceSum": "SUM",
}


def reduced_axes(node: Node, build: Builder) -> tuple[int, ...]:
    """Axes that a node reduces, all of them where it names none."""
    rank = len(build.shape(node.inputs[0]))
    axes = build.ints(node, 1, "axes")
    if not axes:
        return () if node.attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted({axis % rank for axis in axes}))


@lowers(*REDUCTIONS, layout="any", types=NUMBERS)
def reduction(node: Node, build: Builder) -> None:
    """MEAN, SUM, REDUCE_MAX and their kin over the axes as they lie, so none is transposed."""
    if node.op_type == "ReduceMean" and build.value(node.inputs[0]).tensor.dtype != np.float32:
        raise refuse(node, "the mean of integers is not lowered")
    reduce_by(node, build, lambda x, places: reduced(build, REDUCTIONS[node.op_type], x, places))


@lowers("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", layout="any")
def reduction_by_sum(node: Node, build: Builder) -> None:
    """SUM with an elementwise operator before it, behind it or both."""
    before = {"ReduceL1": "ABS", "ReduceL2": "SQUARE", "ReduceSumSquare": "SQUARE"}
    behind = {"ReduceL2": "SQRT", "ReduceLogSum": "LOG"}

    def total(x: Tensor, places: list[int]) -> Tensor:
        if node.op_type in before:
            x = build.unary(before[node.op_type], x)
        x = reduced(build, "SUM", x, places)
        return build.unary(behind[node.op_type], x) if node.op_type in behind else x

    reduce_by(node, build, total)


@lowers("ReduceLogSumExp", layout="any")
def log_sum_exp(node: Node, build: Builder) -> None:
    """Log(sum(exp(x - m))) + m with the maximum m, limited to finite numbers, so none overflows."""
    largest = float(np.finfo(np.float32).max)

    def total(x: Tensor, places: list[int]) -> Tensor:
        top = clamp(build, reduced(build, "REDUCE_MAX", x, places), -largest, largest)
        parts = build.unary("EXP", build.binary("SUB", x, top))
        return build.binary("ADD", build.unary("LOG", reduced(build, "SUM", parts, places)), top)

    reduce_by(node, build, total)


def reduced(build: Builder, kind: str, x: Tensor, places: list[int]) -> Tensor:
    """A reduction over physical axes, which stay with size one."""
    kept = [1 if i in places else d for i, d in enumerate(x.shape)]
    operand = build.const_tensor("axes", places, np.int32)
    return build.emit(kind, [x, operand], kept, {"keepDims": True})


def reduce_by(node: Node, build: Builder, total: Callable[[Tensor, list[int]], Tensor]) -> None:
    """Apply a reduction to the node's axes as they lie, and drop them where the node does."""
    axes = reduced_axes(node, build)
    value = build.value(node.inputs[0])
    if not axes or not value.order:
        # Nothing is summed, but an elementwise part before or behind the sum remains.
        grown = build.reshape(value.tensor, (*value.tensor.shape, 1))
        y = total(grown, [len(value.order)])
        build.bind(node.outputs[0], build.reshape(y, value.tensor.shape), value.order)
        return
    places = sorted(value.order.index(axis) for axis in axes)
    y, order = total(value.tensor, places), value.order
    if not node.attrs.get("keepdims", 1):
        # Kept, then reshaped: the delegate's kernel keeps the axes, and RESHAPE costs nothing.
        order = tuple(a - sum(r < a for r in axes) for a in value.order if a not in axes)
        y = build.reshape(y, [d for i, d in enumerate(y.shape) if i not in places])
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


@lowers("LogSoftmax", layout="any")
def log_softmax(node: Node, build: Builder) -> None:
    """SUB, EXP, SUM and LOG of what lies below the maximum: LOG_SOFTMAX is not delegated."""
    value = build.value(node.inputs[0])
    axis = node.attrs.get("axis", -1) % len(value.order)
    places = [value.order.index(axis)]
    x = build.binary("SUB", value.tensor, reduced(build, "REDUCE_MAX", value.tensor, places))
    total = reduced(build, "SUM", build.unary("EXP", x), places)
    build.bind(node.outputs[0], build.binary("SUB", x, build.unary("LOG", total)), value.order)
