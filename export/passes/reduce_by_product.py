"""A mean, sum or Euclidean norm over neighbouring dimensions becomes a product with a row.

Reason: XNNPACK's mean reduces height and width of a 4-D tensor only, and it has no sum. Token
means of transformers, RMS norms and ``normalize`` reduce other dimensions.

Algebra: the dimensions are grouped into one of size D and swapped with the last; there
``sum(x) = x r`` with r a row of ones, ``mean(x) = x r / D``, ``norm(x) = sqrt(sum(x x))``. A fully
connected layer with one output. Equal within 1e-5.
"""

from __future__ import annotations

from typing import Any

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
        source, is_norm = given["self"], node.target is aten.linalg_vector_norm.default
        dims = _dims(given["dim"], value(source).dim())
        if given["dtype"] is not None or not value(source).is_floating_point():
            continue
        if not dims or dims != list(range(dims[0], dims[-1] + 1)) or value(node).dim() == 0:
            continue
        if (is_norm and given["ord"] != 2) or (given.get("keepdim") and _is_delegated(node, dims)):
            continue
        x = insert(node, aten.mul.Tensor, source, source) if is_norm else source
        result = _sum(node, x, dims, is_mean=node.target is aten.mean.dim)
        if is_norm:
            result = insert(node, aten.sqrt.default, result)
        replace(node, reshape(node, result, value(node).shape))
        rewrites += 1
    return rewrites


def _dims(dims: Any, rank: int) -> list[int]:
    listed = [dims] if isinstance(dims, int) else list(range(rank) if dims is None else dims)
    return sorted(normal_dim(d, rank) for d in listed)


def _is_delegated(node: fx.Node, dims: list[int]) -> bool:
    return node.target is aten.mean.dim and value(node).dim() == 4 and dims == [2, 3]


def _sum(node: fx.Node, x: fx.Node, dims: list[int], *, is_mean: bool) -> fx.Node:
    """Sum over the grouped dimensions; they stay as one dimension of size one."""
    shape = value(x).shape
    size = shape[dims[0] : dims[-1] + 1].numel()
    grouped = reshape(node, x, [*shape[: dims[0]], size, *shape[dims[-1] + 1 :]])
    last = value(grouped).dim() - 1
    row = constant(node, torch.full((1, size), 1 / size if is_mean else 1.0), "reduction_row")
    if dims[0] == last:
        return insert(node, aten.linear.default, grouped, row)
    swapped = insert(node, aten.transpose.int, grouped, dims[0], last)
    return insert(
        node, aten.transpose.int, insert(node, aten.linear.default, swapped, row), dims[0], last
    )
