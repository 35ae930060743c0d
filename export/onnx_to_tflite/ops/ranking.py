"""ArgMax, ArgMin and TopK."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.integer_range import fits_int32, integer_range
from export.onnx_to_tflite.ops import NUMBERS, lowers
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.take import take

_GROUP = 4

SEARCHES = {"ArgMax": "ARG_MAX", "ArgMin": "ARG_MIN"}


@lowers(*SEARCHES, layout="any", types=NUMBERS)
def search(node: Node, build: Builder) -> None:
    """ARG_MAX or ARG_MIN along the axis as it lies; of equal elements the first."""
    value = build.value(node.inputs[0])
    rank = len(value.order)
    axis = node.attrs.get("axis", 0) % rank
    place = value.order.index(axis)
    x = value.tensor
    size = x.shape[place]
    if x.dtype == np.int64:
        if not fits_int32(integer_range(build, x)):
            raise refuse(node, "int64 is searched only where it provably fits into int32")
        x = build.cast(x, np.int32)
    last = bool(node.attrs.get("select_last_index", 0))
    if last:
        x = take(build, x, place, range(size - 1, -1, -1))
    shape = [d for i, d in enumerate(x.shape) if i != place]
    operands = [x, build.const_tensor("axis", [place], np.int32)]
    options = {"outputType": "INT64"}
    y = build.emit(SEARCHES[node.op_type], operands, shape, options, np.int64)
    if last:
        y = build.binary("SUB", build.number(y, size - 1), y)
    if node.attrs.get("keepdims", 1):
        y = build.reshape(y, [1 if i == place else d for i, d in enumerate(x.shape)])
        build.bind(node.outputs[0], y, value.order)
        return
    build.bind(node.outputs[0], y, tuple(a - (a > axis) for a in value.order if a != axis))


@lowers("TopK", layout="any", types=NUMBERS)
def top_k(node: Node, build: Builder) -> None:
    """TOPK_V2 along the last axis, in descending order; of equal elements the first comes first.

    The smallest are the largest of the negated, whose order among equals is the same.
    """
    name = node.inputs[0]
    count = int(build.need_const(node, 1, "k").reshape(()))
    order = build.value(name).order
    axis = node.attrs.get("axis", -1) % len(order)
    if order[-1] != axis:
        order = (*(a for a in order if a != axis), axis)
    x = build.tensor(name, order)
    smallest = not node.attrs.get("largest", 1)
    if smallest:
        x = mirror(build, x)
    shape = (*x.shape[:-1], count)
    operands = [fill_last_four(build, x), build.const_tensor("k", count, np.int32)]
    values, indices = build.emit_many("TOPK_V2", operands, [(shape, x.dtype), (shape, np.int32)])
    if smallest:
        values = mirror(build, values)
    if node.outputs[0]:
        build.bind(node.outputs[0], values, order)
    if len(node.outputs) > 1 and node.outputs[1]:
        build.bind(node.outputs[1], build.cast(indices, np.int64), order)


def fill_last_four(build: Builder, x: Tensor) -> Tensor:
    """Lengthen a row of floats to a multiple of four by what is never among the largest.

    GPUs hold channels by four, and LiteRT's engine (ai-edge-litert 2.3) ranks the whole groups
    alone: of ten classes it returns the best of the first eight. Of several rows, which an open
    batch may have too, nothing is changed.
    """
    missing = -x.shape[-1] % _GROUP
    if x.dtype != np.float32 or not missing or set(x.shape[:-1]) != {1}:
        return x
    filler = build.const_tensor("never", np.full((*x.shape[:-1], missing), -np.inf))
    return build.concat([x, filler], len(x.shape) - 1)


def mirror(build: Builder, x: Tensor) -> Tensor:
    """Reverse the order of numbers: -x, for integers -1 - x, which never overflows."""
    if x.dtype == np.float32:
        return build.unary("NEG", x)
    return build.binary("SUB", build.number(x, -1), x)
