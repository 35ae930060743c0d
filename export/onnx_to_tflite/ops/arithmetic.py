"""Elementwise operators of two or more operands, with ONNX's broadcasting."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.integer_range import fits_int32, integer_range
from export.onnx_to_tflite.layout import Order, identity, physical_shape, transpose_constant
from export.onnx_to_tflite.ops import NUMBERS, lowers
from export.onnx_to_tflite.reader import Node, refuse

BINARY = {
    "Add": "ADD",
    "Div": "DIV",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Mul": "MUL",
    "Sub": "SUB",
}


def lift(order: Order, rank: int) -> Order:
    """Order of a value seen with leading axes of size one, as broadcasting sees it."""
    extra = rank - len(order)
    return (*range(extra), *(axis + extra for axis in order))


def choose_order(build: Builder, names: tuple[str, ...], rank: int) -> Order:
    """Order of the largest computed operand, so that only smaller ones must move."""
    computed = [build.value(n) for n in names if build.const(n) is None]
    if not computed:
        return identity(rank)
    largest = max(computed, key=lambda v: (v.tensor.size, len(v.order), v.order != identity(rank)))
    return lift(largest.order, rank)


def operand(build: Builder, name: str, order: Order, dtype: Any = None) -> Tensor:
    """A value in a common order; leading axes of size one are left out, as TFLite allows.

    A constant takes the element type that is given.
    """
    rank = len(order)
    shape = build.shape(name)
    lifted = (1,) * (rank - len(shape)) + shape
    data = build.const(name)
    if data is not None:
        stored = transpose_constant(data.reshape(lifted), order)
        kept = next((i for i, d in enumerate(stored.shape) if d != 1), rank)
        return build.const_tensor(name, stored.reshape(stored.shape[kept:]), dtype or data.dtype)
    value = build.value(name)
    if lift(value.order, rank) == order:
        return value.tensor
    if len(shape) == rank:
        return build.tensor(name, order)
    grown = build.reshape(value.tensor, (1,) * (rank - len(shape)) + value.tensor.shape)
    return build.reorder(grown, lifted, lift(value.order, rank), order)


def bind_broadcast(build: Builder, name: str, result: Tensor, order: Order) -> None:
    """Bind a result of operands in a common order, with the leading axes that they left out."""
    build.bind(name, build.reshape(result, physical_shape(build.shape(name), order)), order)


@lowers(*BINARY, layout="any", types=NUMBERS)
def binary(node: Node, build: Builder) -> None:
    """ADD, SUB, MUL, DIV, MINIMUM, MAXIMUM; more than two operands one after the other."""
    rank = len(build.shape(node.outputs[0]))
    order = choose_order(build, node.inputs, rank)
    operands = [operand(build, name, order) for name in node.inputs]
    kind, divisor = BINARY[node.op_type], operands[-1].data
    if kind == "DIV" and operands[0].dtype != np.float32:
        bind_broadcast(build, node.outputs[0], divide_integers(node, build, *operands), order)
        return
    if kind == "DIV" and divisor is not None and divisor.all():
        # A product is several times faster than a quotient and differs in the last bit at most.
        inverse = (1 / divisor.astype(np.float64)).astype(np.float32)
        kind, operands[-1] = "MUL", build.const_tensor(f"{operands[-1].name}_inverse", inverse)
    result = reduce(lambda a, b: build.binary(kind, a, b), operands)
    bind_broadcast(build, node.outputs[0], result, order)


def divide_integers(node: Node, build: Builder, left: Tensor, right: Tensor) -> Tensor:
    """DIV, which rounds towards zero as ONNX does; it has int32 only."""
    ranges = [integer_range(build, t) for t in (left, right)]
    for tensor, limits in zip((left, right), ranges, strict=True):
        if tensor.dtype != np.int32 and not fits_int32(limits):
            raise refuse(node, "int64 is divided only where the values provably fit into int32")
    require_divisor(node, right)
    small = [build.cast(t, np.int32) for t in (left, right)]
    return build.cast(build.binary("DIV", *small), left.dtype)


def require_divisor(node: Node, divisor: Tensor) -> None:
    """Refuse a constant zero, which ends the kernel's run with an error."""
    if divisor.data is not None and not divisor.data.all():
        raise refuse(node, "the divisor is zero")


@lowers("Mod", layout="any", types=("int32", "int64"))
def modulo(node: Node, build: Builder) -> None:
    """FLOOR_MOD: the remainder has the sign of the divisor."""
    if node.attrs.get("fmod", 0):
        raise refuse(node, "a remainder with the sign of the dividend is not lowered")
    rank = len(build.shape(node.outputs[0]))
    order = choose_order(build, node.inputs, rank)
    left, right = (operand(build, name, order) for name in node.inputs)
    require_divisor(node, right)
    bind_broadcast(build, node.outputs[0], build.binary("FLOOR_MOD", left, right), order)


@lowers("Sum", "Mean", layout="any")
def variadic(node: Node, build: Builder) -> None:
    """Sum and mean over operands."""
    rank = len(build.shape(node.outputs[0]))
    order = choose_order(build, node.inputs, rank)
    operands = [operand(build, name, order) for name in node.inputs]
    total = reduce(lambda a, b: build.binary("ADD", a, b), operands)
    if node.op_type == "Mean" and len(operands) > 1:
        total = build.binary("DIV", total, build.const_tensor("count", len(operands)))
    bind_broadcast(build, node.outputs[0], total, order)


@lowers("Pow", layout="any")
def power(node: Node, build: Builder) -> None:
    """A constant exponent of 1, 2, 3, 0.5, -0.5 or -1; TFLite's POW is not delegated."""
    exponent = build.const(node.inputs[1])
    value = build.value(node.inputs[0])
    x = value.tensor
    if (
        exponent is None
        or exponent.size != 1
        or build.shape(node.outputs[0]) != build.shape(node.inputs[0])
    ):
        rank = len(build.shape(node.outputs[0]))
        order = choose_order(build, node.inputs, rank)
        for name in node.inputs:
            data = build.const(name)
            if data is not None and (data.astype(np.float32) != data).any():
                raise refuse(node, f"{name!r} is {data.dtype} and does not fit float32")
        left, right = (operand(build, name, order, np.float32) for name in node.inputs)
        bind_broadcast(build, node.outputs[0], build.binary("POW", left, right), order)
        return
    number = float(exponent.reshape(()))
    if number == 1.0:
        y = x
    elif number == 2.0:
        y = build.unary("SQUARE", x)
    elif number == 3.0:
        y = build.binary("MUL", build.unary("SQUARE", x), x)
    elif number == 0.5:
        y = build.unary("SQRT", x)
    elif number == -0.5:
        y = build.unary("RSQRT", x)
    elif number == -1.0:
        y = build.binary("DIV", build.const_tensor("one", 1.0), x)
    else:
        y = build.binary("POW", x, build.const_tensor("exponent", number))
    build.bind(node.outputs[0], y, value.order)
