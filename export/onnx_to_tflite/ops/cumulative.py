"""CumSum: sums of everything up to each element of an axis."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.ops import NUMBERS, lowers
from export.onnx_to_tflite.ops.matmul import fully_connected
from export.onnx_to_tflite.reader import Node

#: Above this many elements CUMSUM, which is not delegated, is smaller than a matrix of a megabyte.
MOST_ELEMENTS = 512


@lowers("CumSum", layout="any", types=NUMBERS)
def cumulative_sum(node: Node, build: Builder) -> None:
    """FULLY_CONNECTED with a triangle of ones; CUMSUM for integers and for long axes."""
    value = build.value(node.inputs[0])
    rank = len(value.order)
    axis = int(build.need_const(node, 1, "the axis").reshape(())) % rank
    exclusive, reverse = (bool(node.attrs.get(name, 0)) for name in ("exclusive", "reverse"))
    size = build.shape(node.inputs[0])[axis]
    if value.tensor.dtype != np.float32 or size > MOST_ELEMENTS:
        place = build.const_tensor("axis", value.order.index(axis), np.int32)
        options = {"exclusive": exclusive, "reverse": reverse}
        y = build.emit("CUMSUM", [value.tensor, place], value.tensor.shape, options)
        build.bind(node.outputs[0], y, value.order)
        return
    last = (*(a for a in value.order if a != axis), axis)
    x = build.tensor(node.inputs[0], last)
    triangle = np.tri(size, k=-1 if exclusive else 0, dtype=np.float32)
    rows = build.reshape(x, (1, size)) if rank == 1 else x
    y = fully_connected(build, rows, triangle.T if reverse else triangle, None, keep_dims=True)
    build.bind(node.outputs[0], build.reshape(y, x.shape), last)
