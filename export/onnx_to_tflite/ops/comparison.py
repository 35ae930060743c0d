"""Comparisons, logic, Where and Cast: what makes and takes booleans and integers."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array, Tensor
from export.onnx_to_tflite.integer_range import SEARCHES
from export.onnx_to_tflite.layout import transpose_constant
from export.onnx_to_tflite.ops import ANY_TYPE, NUMBERS, lowers
from export.onnx_to_tflite.ops.arithmetic import bind_broadcast, choose_order, operand
from export.onnx_to_tflite.reader import Node

TWO_OPERANDS = {
    "And": "LOGICAL_AND",
    "Equal": "EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "Or": "LOGICAL_OR",
    "Xor": "NOT_EQUAL",  # of two booleans
}


@lowers(*TWO_OPERANDS, layout="any", types=(*NUMBERS, "bool"))
def comparison(node: Node, build: Builder) -> None:
    """Operators of two operands with a TFLite twin of the same meaning."""
    order = choose_order(build, node.inputs, len(build.shape(node.outputs[0])))
    left, right = (operand(build, name, order) for name in node.inputs)
    result = build.binary(TWO_OPERANDS[node.op_type], left, right)
    bind_broadcast(build, node.outputs[0], result, order)


@lowers("Not", layout="any", types=("bool",))
def logical_not(node: Node, build: Builder) -> None:
    """LOGICAL_NOT."""
    value = build.value(node.inputs[0])
    build.bind(node.outputs[0], build.unary("LOGICAL_NOT", value.tensor), value.order)


@lowers("IsNaN", layout="any", types=("float32", "bool"))
def is_nan(node: Node, build: Builder) -> None:
    """Only NaN differs from itself."""
    value = build.value(node.inputs[0])
    y = build.binary("NOT_EQUAL", value.tensor, value.tensor)
    build.bind(node.outputs[0], y, value.order)


@lowers("IsInf", layout="any", types=("float32", "bool"))
def is_inf(node: Node, build: Builder) -> None:
    """Equal to infinity, of both signs or of one."""
    value = build.value(node.inputs[0])
    x = value.tensor
    positive = node.attrs.get("detect_positive", 1)
    if positive and node.attrs.get("detect_negative", 1):
        x = build.unary("ABS", x)
    limit = np.inf if positive else -np.inf
    if not positive and not node.attrs.get("detect_negative", 1):
        limit = np.nan  # equals nothing
    build.bind(node.outputs[0], build.binary("EQUAL", x, build.number(x, limit)), value.order)


@lowers("Cast", layout="any", types=ANY_TYPE)
def cast(node: Node, build: Builder) -> None:
    """CAST; to bool it says what is not zero, to an integer it rounds towards zero.

    A place that was searched for is had in int32 at once: GPUs have no int64.
    """
    value = build.value(node.inputs[0])
    dtype = build.onnx_graph.dtypes[node.outputs[0]]
    made_by = build.producer(value.tensor)
    if made_by is not None and made_by.kind in SEARCHES and dtype == np.int32:
        options = {"outputType": "INT32"}
        y = build.emit(made_by.kind, made_by.inputs, value.tensor.shape, options, dtype)
    else:
        y = build.cast(value.tensor, dtype)
    build.bind(node.outputs[0], y, value.order)


@lowers("Where", layout="any", types=(*NUMBERS, "bool"))
def where(node: Node, build: Builder) -> None:
    """SELECT_V2; a constant mask over a constant by MINIMUM and MAXIMUM, which are delegated."""
    order = choose_order(build, node.inputs, len(build.shape(node.outputs[0])))
    mask, left, right = (operand(build, name, order) for name in node.inputs)
    y = None
    if mask.data is not None and left.data is not None:
        y = overwrite(build, right, mask.data, left.data)
    elif mask.data is not None and right.data is not None:
        y = overwrite(build, left, ~mask.data, right.data)
    if y is None:
        shape = np.broadcast_shapes(mask.shape, left.shape, right.shape)
        y = build.emit("SELECT_V2", [mask, left, right], shape, dtype=left.dtype)
    bind_broadcast(build, node.outputs[0], y, order)


@lowers("Trilu", layout="any", types=NUMBERS)
def triangle(node: Node, build: Builder) -> None:
    """Zeros below or above a diagonal, as a constant mask over the two last axes."""
    value = build.value(node.inputs[0])
    shape = build.shape(node.inputs[0])
    offset = int(build.need_const(node, 1, "k").reshape(())) if node.input(1) else 0
    ones = np.ones(shape[-2:], bool)
    kept = np.triu(ones, offset) if node.attrs.get("upper", 1) else np.tril(ones, offset)
    lifted = kept.reshape((1,) * (len(shape) - 2) + shape[-2:])
    mask = transpose_constant(lifted, value.order)
    y = overwrite(build, value.tensor, ~mask, np.zeros(1, np.float32))
    if y is None:
        y = build.binary("MUL", value.tensor, build.const_tensor("kept", mask, value.tensor.dtype))
    build.bind(node.outputs[0], y, value.order)


def overwrite(build: Builder, x: Tensor, mask: Array, value: Array) -> Tensor | None:
    """Put constants where a constant mask is set: limited from above and below by the same number.

    Elsewhere the limits are infinite. A NaN under the mask may stay one, which SELECT_V2 replaces.

    Returns:
        None for booleans, integers, constants that are NaN, and where nothing would be written.
    """
    if x.dtype != np.float32 or np.isnan(value).any():
        return None
    highest = np.where(mask, value, np.float32(np.inf))
    lowest = np.where(mask, value, np.float32(-np.inf))
    if (highest != np.inf).any():
        x = build.binary("MINIMUM", x, build.const_tensor("highest", highest))
    if (lowest != -np.inf).any():
        x = build.binary("MAXIMUM", x, build.const_tensor("lowest", lowest))
    shape = np.broadcast_shapes(x.shape, highest.shape)
    return x if x.shape == shape else None
