"""Variance and standard deviation are spelt out with means.

Reason: XNNPACK has neither.

Algebra: with m the mean over the dimensions and n their size, ``var(x) = n / (n - correction)
mean((x - m)^2)`` and ``std(x) = sqrt(var(x))``. Equal within 1e-5.
"""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from export.passes._editing import aten, insert, normal_dim, replace_calls, reshape, value

__all__ = ["rewrite"]

_VARIANCES = (aten.var.correction, aten.var.dim)
_DEVIATIONS = (aten.std.correction, aten.std.dim)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _decompose, *_VARIANCES, *_DEVIATIONS)


def _decompose(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    source = given["self"]
    shape = value(source).shape
    dims = [normal_dim(d, len(shape)) for d in given["dim"] or range(len(shape))]
    count = math.prod(shape[d] for d in dims)
    correction = given.get("correction")
    if correction is None:
        correction = 1 if given.get("unbiased", True) else 0
    if count <= correction:
        return None  # not a number, whatever the form
    mean = insert(node, aten.mean.dim, source, dims, True)
    centred = insert(node, aten.sub.Tensor, source, mean)
    square = insert(node, aten.mul.Tensor, centred, centred)
    result = insert(node, aten.mean.dim, square, dims, True)
    if correction:
        result = insert(node, aten.mul.Tensor, result, count / (count - correction))
    if node.target in _DEVIATIONS:
        result = insert(node, aten.sqrt.default, result)
    return reshape(node, result, value(node).shape)
