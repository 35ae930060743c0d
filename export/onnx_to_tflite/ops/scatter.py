"""ScatterElements and ScatterND: lines by constant indices, elements by any."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array, Tensor
from export.onnx_to_tflite.ops import ANY_TYPE, NUMBERS, lowers
from export.onnx_to_tflite.ops.indexing import counted_from_start, flat_places
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.take import MOST_RUNS, consecutive_runs, take


@lowers("ScatterElements", layout="any", types=ANY_TYPE)
def scatter_elements(node: Node, build: Builder) -> None:
    """Replace whole lines of one axis, as ``x[:, 0] = y`` does, or else elements."""
    indices = build.const(node.inputs[1])
    shape = build.shape(node.inputs[0])
    axis = node.attrs.get("axis", 0) % len(shape)
    if indices is not None:
        lines = np.moveaxis(indices, axis, 0).reshape(indices.shape[axis], -1)
        others = [size for a, size in enumerate(shape) if a != axis]
        whole = others == [size for a, size in enumerate(indices.shape) if a != axis]
        if whole and (lines == lines[:, :1]).all() and not _reduces(node):
            replace_lines(node, build, axis, lines[:, 0])
            return
    places = flat_places(node, build)
    x, new = build.tensor(node.inputs[0]), build.tensor(node.inputs[2])
    y = write_elements(
        node,
        build,
        build.reshape(x, (x.size,)),
        build.reshape(places, (new.size, 1)),
        build.reshape(new, (new.size,)),
    )
    build.bind(node.outputs[0], build.reshape(y, x.shape))


@lowers("ScatterND", layout="any", types=ANY_TYPE)
def scatter_nd(node: Node, build: Builder) -> None:
    """Replace whole lines of the first axis, or else elements or parts."""
    indices = build.const(node.inputs[1])
    if indices is not None and indices.ndim == 2 and indices.shape[1] == 1 and not _reduces(node):
        replace_lines(node, build, 0, indices[:, 0])
        return
    x, places, new = (build.tensor(name) for name in node.inputs)
    places = counted_from_start(build, places, x.shape[: places.shape[-1]])
    build.bind(node.outputs[0], write_elements(node, build, x, places, new))


def write_elements(node: Node, build: Builder, x: Tensor, places: Tensor, new: Tensor) -> Tensor:
    """SCATTER_ND onto zeros, which adds up what meets in one place.

    ``add`` wants just that. Otherwise what is written is the mean of it: PyTorch leaves open which
    one of several values stays, but for equal ones.
    """
    reduction = node.attrs.get("reduction", "none")
    if reduction not in ("none", "add"):
        raise refuse(node, f"the reduction {reduction!r} is not lowered")
    if x.dtype.name not in (NUMBERS if reduction == "add" else ("float32", "int32")):
        raise refuse(node, f"elements of {x.dtype} are not written one by one")
    shape = build.const_tensor("shape", x.shape, np.int32)
    places = build.cast(places, np.int32)
    total = build.emit("SCATTER_ND", [places, new, shape], x.shape, dtype=new.dtype)
    if reduction == "add":
        return build.binary("ADD", x, total)
    ones = build.const_tensor("ones", np.ones(new.shape), np.float32)
    count = build.emit("SCATTER_ND", [places, ones, shape], x.shape, dtype=np.float32)
    most = build.binary("MAXIMUM", count, build.number(count, 1))
    mean = build.binary("DIV", total, build.cast(most, x.dtype))
    is_written = build.binary("GREATER", count, build.number(count, 0))
    return build.emit("SELECT_V2", [is_written, mean, x], x.shape, dtype=x.dtype)


def _reduces(node: Node) -> bool:
    return bool(node.attrs.get("reduction", "none") != "none")


def replace_lines(node: Node, build: Builder, axis: int, lines: Array) -> None:
    """SLICEs of what stays and of what is new, concatenated in the order of the axis."""
    value = build.value(node.inputs[0])
    place = value.order.index(axis)
    x, new = value.tensor, build.tensor(node.inputs[2], value.order)
    size = x.shape[place]
    sources = np.arange(size)  # numbers from the size on are lines of the new values
    sources[lines] = size + np.arange(len(lines))
    runs = [run for part in _split(sources, size) for run in consecutive_runs(part)]
    if len(runs) <= MOST_RUNS:
        parts = [
            build.slice(x, place, start, n)
            if start < size
            else build.slice(new, place, start - size, n)
            for start, n in runs
        ]
        y = build.concat(parts, place)
    else:
        y = take(build, build.concat([x, new], place), place, sources.tolist())
    build.bind(node.outputs[0], y, value.order)


def _split(sources: Array, size: int) -> list[list[int]]:
    """Cut the list of sources wherever it goes from old lines to new ones or back."""
    edges = np.flatnonzero(np.diff(sources >= size)) + 1
    return [part.tolist() for part in np.split(sources, edges)]
