"""ScatterElements and ScatterND with constant indices: what writing into a slice becomes."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array
from export.onnx_to_tflite.ops import ANY_TYPE, lowers
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.take import MOST_RUNS, consecutive_runs, take


@lowers("ScatterElements", layout="any", types=ANY_TYPE)
def scatter_elements(node: Node, build: Builder) -> None:
    """Replace whole lines of one axis, as ``x[:, 0] = y`` does."""
    indices = build.need_const(node, 1, "the indices")
    shape = build.shape(node.inputs[0])
    axis = node.attrs.get("axis", 0) % len(shape)
    lines = np.moveaxis(indices, axis, 0).reshape(indices.shape[axis], -1)
    others = [size for a, size in enumerate(shape) if a != axis]
    whole = others == [size for a, size in enumerate(indices.shape) if a != axis]
    if not whole or (lines != lines[:, :1]).any():
        raise refuse(node, "only whole lines of one axis are written")
    replace_lines(node, build, axis, lines[:, 0])


@lowers("ScatterND", layout="any", types=ANY_TYPE)
def scatter_nd(node: Node, build: Builder) -> None:
    """Replace whole lines of the first axis."""
    indices = build.need_const(node, 1, "the indices")
    if indices.ndim != 2 or indices.shape[1] != 1:
        raise refuse(node, "only whole lines of the first axis are written")
    replace_lines(node, build, 0, indices[:, 0])


def replace_lines(node: Node, build: Builder, axis: int, lines: Array) -> None:
    """SLICEs of what stays and of what is new, concatenated in the order of the axis."""
    if node.attrs.get("reduction", "none") != "none":
        raise refuse(node, "a reduction is not lowered")
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
