"""Let a FULLY_CONNECTED behind a flattened image read the image as it lies.

PyTorch flattens (N, C, H, W); the image lies as (N, H, W, C). Reordering the columns of the weights
once replaces a TRANSPOSE in every inference.
"""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.graph import Graph, Op, constant

__all__ = ["absorb_transpose"]


def absorb_transpose(graph: Graph) -> None:
    """Rewrite TRANSPOSE, RESHAPE, FULLY_CONNECTED where nobody else reads what is between."""
    producers, uses = graph.producers(), graph.use_counts()
    changed: dict[Op, Op] = {}
    for op in graph.ops:
        reshape = producers.get(op.data_input) if op.kind == "FULLY_CONNECTED" else None
        if reshape is None or reshape.kind != "RESHAPE" or uses[reshape.output] != 1:
            continue
        transpose = producers.get(reshape.data_input)
        if transpose is None or transpose.kind != "TRANSPOSE" or uses[transpose.output] != 1:
            continue
        if reshape in changed:
            continue
        columns = _columns(transpose, reshape)
        kernel = op.inputs[1]
        if columns is None or kernel is None or kernel.data is None:
            continue
        moved = constant(kernel.name, np.ascontiguousarray(kernel.data[:, columns]))
        changed[reshape] = reshape.with_fields(inputs=(transpose.data_input, reshape.inputs[1]))
        changed[op] = op.with_fields(inputs=(op.inputs[0], moved, op.inputs[2]))
    graph.ops = [changed.get(op, op) for op in graph.ops]


def _columns(transpose: Op, reshape: Op) -> list[int] | None:
    """Column of the weights for each element as it lies; None unless all but N is flattened."""
    perm = transpose.inputs[1]
    shape = transpose.output.shape
    if perm is None or perm.data is None or perm.data[0] != 0:
        return None
    if reshape.output.shape != (shape[0], int(np.prod(shape[1:]))):
        return None
    numbers = np.arange(reshape.output.shape[1]).reshape(shape[1:])
    inverse = np.argsort(perm.data[1:] - 1)
    return [int(i) for i in np.transpose(numbers, inverse).reshape(-1)]
