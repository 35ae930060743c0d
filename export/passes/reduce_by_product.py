"""A mean, sum or Euclidean norm over other dimensions than height and width becomes products.

Reason: XNNPACK's mean reduces height and width of a 4-D tensor only, and it has no sum. Token
means of transformers, RMS norms and ``normalize`` reduce other dimensions.

Algebra: neighbouring dimensions are grouped into one of size D and swapped with the last; there
``sum(x) = x r`` with r a row of ones, ``mean(x) = x r / D``, ``norm(x) = sqrt(sum(x x))``. A fully
connected layer with one output. Dimensions that are no neighbours are reduced one group after
the other. One long running sum in float32 loses digits, so more than `LONGEST` elements are summed
in two steps, for D = a b first over a, then over b. Equal within 1e-5.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from export.passes._editing import (
    aten,
    insert,
    multiply_along,
    neighbour_groups,
    normal_dim,
    replace_calls,
    reshape,
    value,
)

__all__ = ["LONGEST", "rewrite"]

LONGEST = 1024
"""Elements that are summed in one go."""


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(
        graph, _multiply, aten.mean.dim, aten.sum.dim_IntList, aten.linalg_vector_norm.default
    )


def _multiply(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    source, is_norm = given["self"], node.target is aten.linalg_vector_norm.default
    dims = _dims(given["dim"], value(source).dim())
    if given["dtype"] is not None or not value(source).is_floating_point():
        return None
    if not dims or value(source).numel() == 0 or (is_norm and given["ord"] != 2):
        return None
    if given.get("keepdim") and node.target is aten.mean.dim and _is_delegated(source, dims):
        return None
    x = insert(node, aten.mul.Tensor, source, source) if is_norm else source
    result = _reduce(node, x, dims, is_mean=node.target is aten.mean.dim)
    if is_norm:
        result = insert(node, aten.sqrt.default, result)
    return reshape(node, result, value(node).shape)


def _dims(dims: Any, rank: int) -> list[int]:
    listed = [dims] if isinstance(dims, int) else list(range(rank) if dims is None else dims)
    return sorted(normal_dim(d, rank) for d in listed)


def _is_delegated(source: fx.Node, dims: list[int]) -> bool:
    return value(source).dim() == 4 and dims == [2, 3]


def _reduce(node: fx.Node, x: fx.Node, dims: list[int], *, is_mean: bool) -> fx.Node:
    """Reduce one group of neighbouring dimensions after the other; each stays with size one."""
    for first, end in neighbour_groups(dims):
        shape = value(x).shape
        x = _sum(node, x, first, end, 1 / shape[first:end].numel() if is_mean else 1.0)
        x = reshape(node, x, [*shape[:first], *[1] * (end - first), *shape[end:]])
    return x


def _sum(node: fx.Node, x: fx.Node, first: int, end: int, factor: float) -> fx.Node:
    """Sum over neighbouring dimensions, as one of size one, and multiply by a factor."""
    shape = value(x).shape
    size = shape[first:end].numel()
    part = next(d for d in range(math.isqrt(size), 0, -1) if size % d == 0)
    if size > LONGEST and part > 1:
        parts = reshape(node, x, [*shape[:first], part, size // part, *shape[end:]])
        x = _sum(node, parts, first, first + 1, 1.0)
        return _sum(node, x, first, first + 2, factor)
    grouped = reshape(node, x, [*shape[:first], size, *shape[end:]])
    row = torch.full((1, size), factor, dtype=torch.float64)
    return multiply_along(node, grouped, first, row, "reduction_row")
