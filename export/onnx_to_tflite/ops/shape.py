"""Operators that move or rename elements only: Reshape and its kin, Transpose, Expand, Identity."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.layout import physical_shape, plan_reshape
from export.onnx_to_tflite.ops import ANY_TYPE, NUMBERS, lowers
from export.onnx_to_tflite.reader import Node, refuse


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze", layout="any", types=ANY_TYPE)
def reshape(node: Node, build: Builder) -> None:
    """RESHAPE in the order the value has; a TRANSPOSE before only where axes are torn apart."""
    name, result = node.inputs[0], node.outputs[0]
    if node.op_type in ("Reshape", "Squeeze", "Unsqueeze") and node.input(1):
        build.need_const(node, 1, "the shape or axes")
    new_shape = build.shape(result)
    plan = plan_reshape(
        build.shape(name),
        build.value(name).order,
        new_shape,
        prefer_nhwc=build.wants_nhwc(result),
    )
    x = build.tensor(name, plan.source)
    y = build.reshape(x, physical_shape(new_shape, plan.target))
    build.bind(result, y, plan.target)


@lowers("Transpose", layout="any", types=ANY_TYPE)
def transpose(node: Node, build: Builder) -> None:
    """Nothing is emitted: axes get new names, and a later reader asks for the order it needs."""
    value = build.value(node.inputs[0])
    rank = len(value.order)
    perm = node.attrs.get("perm") or list(range(rank))[::-1]
    renamed = tuple(perm.index(axis) for axis in value.order)
    build.bind(node.outputs[0], value.tensor, renamed)


@lowers("Expand", layout="any", types=(*NUMBERS, "bool"))
def expand(node: Node, build: Builder) -> None:
    """Multiply by ones, or booleans with False, which is exact: BROADCAST_TO is not delegated."""
    build.need_const(node, 1, "the shape")
    shape, new_shape = build.shape(node.inputs[0]), build.shape(node.outputs[0])
    value = build.value(node.inputs[0])
    rank = len(new_shape)
    extra = rank - len(shape)
    order = (*range(extra), *(axis + extra for axis in value.order))
    grown = physical_shape(new_shape, order)
    if grown == value.tensor.shape:
        build.bind(node.outputs[0], value.tensor, order)
        return
    have = (1,) * extra + value.tensor.shape
    kind, neutral = ("LOGICAL_OR", 0) if value.tensor.dtype == np.bool_ else ("MUL", 1)
    sizes = [g if g != h else 1 for g, h in zip(grown, have, strict=True)]
    neutrals = build.const_tensor("neutral", np.full(sizes, neutral), value.tensor.dtype)
    build.bind(node.outputs[0], build.binary(kind, value.tensor, neutrals), order)


@lowers("Tile", layout="any", types=ANY_TYPE)
def tile(node: Node, build: Builder) -> None:
    """CONCATENATION of the whole with itself, axis by axis."""
    value = build.value(node.inputs[0])
    y = value.tensor
    for axis, times in enumerate(build.need_const(node, 1, "the repeats").tolist()):
        y = build.concat([y] * times, value.order.index(axis))
    build.bind(node.outputs[0], y, value.order)


@lowers("Dropout", layout="any")
def dropout(node: Node, build: Builder) -> None:
    """The identity, in eval mode."""
    mode = build.const(node.input(2)) if node.input(2) else None
    if node.input(2) and (mode is None or bool(mode)):
        raise refuse(node, "training mode has no lowering; export the model in eval mode")
    identity(node, build)


@lowers("Identity", layout="any", types=ANY_TYPE)
def identity(node: Node, build: Builder) -> None:
    """Nothing is emitted: the value gets a second name."""
    value = build.value(node.inputs[0])
    build.bind(node.outputs[0], value.tensor, value.order)
