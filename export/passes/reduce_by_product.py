"""A mean, sum or Euclidean norm over one dimension becomes a product with a constant row.

Reason: XNNPACK's mean reduces height and width of a 4-D tensor only, and it has no sum. Token
means of transformers, RMS norms and ``normalize`` reduce one other dimension.

Algebra: over the last dimension of size D, ``sum(x) = x r`` with r a row of ones, ``mean(x) =
x r / D``, ``norm(x) = sqrt(sum(x x))``; another dimension is swapped with the last first. A fully
connected layer with one output. Equal within 1e-5.
"""

from __future__ import annotations

import torch
from torch import fx

from export.passes._editing import (
    arguments,
    aten,
    calls,
    constant,
    insert,
    normal_dim,
    replace,
    reshape,
    value,
)  # fmt: skip

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.mean.dim, aten.sum.dim_IntList, aten.linalg_vector_norm.default):
        given = arguments(node)
        source = given["self"]
        shape = value(source).shape
        dims = [given["dim"]] if isinstance(given["dim"], int) else list(given["dim"] or ())
        is_norm = node.target is aten.linalg_vector_norm.default
        if len(dims) != 1 or given["dtype"] is not None or not value(source).is_floating_point():
            continue
        if (is_norm and given["ord"] != 2) or len(shape) < 2:
            continue
        dim = normal_dim(dims[0], len(shape))
        weight = 1 / shape[dim] if node.target is aten.mean.dim else 1.0
        x = insert(node, aten.mul.Tensor, source, source) if is_norm else source
        if dim != len(shape) - 1:
            x = insert(node, aten.transpose.int, x, dim, len(shape) - 1)
        row = constant(node, torch.full((1, shape[dim]), weight), "reduction_row")
        result = insert(node, aten.linear.default, x, row)
        if is_norm:
            result = insert(node, aten.sqrt.default, result)
        if dim != len(shape) - 1 and given["keepdim"]:
            result = insert(node, aten.transpose.int, result, dim, len(shape) - 1)
        replace(node, reshape(node, result, value(node).shape))
        rewrites += 1
    return rewrites
