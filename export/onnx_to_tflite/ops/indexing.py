"""Gather, GatherElements, GatherND: elements by constant or computed indices."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array, Tensor
from export.onnx_to_tflite.integer_range import integer_range
from export.onnx_to_tflite.ops import ANY_TYPE, NUMBERS, lowers
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.take import take


@lowers("Gather", layout="any", types=ANY_TYPE)
def gather(node: Node, build: Builder) -> None:
    """SLICEs and a CONCATENATION for few constant indices, otherwise GATHER."""
    name, index = node.inputs
    shape = build.shape(name)
    axis = node.attrs.get("axis", 0) % len(shape)
    indices = build.const(index)
    if indices is not None:
        gather_constant(node, build, axis, indices)
        return
    value = build.value(name)
    place = value.order.index(axis)
    flat = counted_from_start(build, build.tensor(index), shape[axis])
    flat = build.reshape(flat, (flat.size,))
    taken = [flat.size if i == place else d for i, d in enumerate(value.tensor.shape)]
    options = {"axis": place, "batchDims": 0}
    y = build.emit("GATHER", [value.tensor, flat], taken, options)
    bind_gathered(node, build, y, axis, build.shape(index))


def gather_constant(node: Node, build: Builder, axis: int, indices: Array) -> None:
    """Take constant elements of one axis, in the order in which the value lies."""
    value = build.value(node.inputs[0])
    size = build.shape(node.inputs[0])[axis]
    wanted = [int(i) + size if i < 0 else int(i) for i in indices.reshape(-1)]
    y = take(build, value.tensor, value.order.index(axis), wanted)
    bind_gathered(node, build, y, axis, indices.shape)


def bind_gathered(node: Node, build: Builder, y: Tensor, axis: int, sizes: tuple[int, ...]) -> None:
    """Let an axis of taken elements become the axes of the indices: none, one or several."""
    order = build.value(node.inputs[0]).order
    place = order.index(axis)
    y = build.reshape(y, (*y.shape[:place], *sizes, *y.shape[place + 1 :]))
    grown = tuple(range(axis, axis + len(sizes)))
    shift = len(sizes) - 1
    before, after = (
        tuple(a + shift * (a > axis) for a in part) for part in (order[:place], order[place + 1 :])
    )
    build.bind(node.outputs[0], y, (*before, *grown, *after))


@lowers("GatherElements", types=ANY_TYPE)
def gather_elements(node: Node, build: Builder) -> None:
    """GATHER from the flattened values, at the place that each index means."""
    index = flat_places(node, build)
    x = build.tensor(node.inputs[0])
    flat = build.reshape(x, (x.size,))
    y = build.emit("GATHER", [flat, index], index.shape, {"axis": 0, "batchDims": 0})
    build.bind(node.outputs[0], y)


def flat_places(node: Node, build: Builder) -> Tensor:
    """Where the elements that the indices of one axis mean lie among all values in a row."""
    shape = build.shape(node.inputs[0])
    axis = node.attrs.get("axis", 0) % len(shape)
    index = counted_from_start(build, build.tensor(node.inputs[1]), shape[axis])
    strides = np.array([int(np.prod(shape[a + 1 :])) for a in range(len(shape))])
    grid = np.indices(index.shape).reshape(len(shape), *index.shape)
    base = sum(grid[a] * strides[a] for a in range(len(shape)) if a != axis)
    if strides[axis] != 1:
        index = build.binary("MUL", index, build.number(index, strides[axis]))
    if np.any(base):
        index = build.binary("ADD", index, build.const_tensor("base", base, index.dtype))
    return index


@lowers("GatherND", layout="any", types=NUMBERS)
def gather_nd(node: Node, build: Builder) -> None:
    """GATHER_ND; a constant list of elements of the first axis as Gather has it."""
    if node.attrs.get("batch_dims", 0):
        raise refuse(node, "batch_dims is not lowered")
    indices = build.const(node.inputs[1])
    if indices is not None and indices.shape[-1] == 1:
        gather_constant(node, build, 0, indices[..., 0])
        return
    x, index = (build.tensor(name) for name in node.inputs)
    index = counted_from_start(build, index, x.shape[: index.shape[-1]])
    y = build.emit("GATHER_ND", [x, index], build.shape(node.outputs[0]))
    build.bind(node.outputs[0], y)


def counted_from_start(build: Builder, index: Tensor, sizes: int | tuple[int, ...]) -> Tensor:
    """Indices without negative ones, which ONNX counts from the end and TFLite refuses."""
    limits = integer_range(build, index)
    if index.data is not None:
        data = index.data + (index.data < 0) * np.array(sizes, index.dtype)
        return build.const_tensor(index.name, data, index.dtype)
    if limits is not None and limits[0] >= 0:
        return index
    below = build.binary("LESS", index, build.number(index, 0))
    wrapped = build.binary("ADD", index, build.const_tensor("sizes", sizes, index.dtype))
    return build.emit("SELECT_V2", [below, wrapped, index], index.shape, dtype=index.dtype)
