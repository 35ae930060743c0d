"""Variance and standard deviation are spelt out with means.

Reason: XNNPACK has neither.

Algebra: with m the mean over the dimensions and n their size, ``var(x) = n / (n - correction)
mean((x - m)^2)`` and ``std(x) = sqrt(var(x))``. Equal within 1e-5.
"""

from __future__ import annotations

import math

from torch import fx

from export.passes._editing import (
    arguments,
    aten,
    calls,
    insert,
    normal_dim,
    replace,
    reshape,
    value,
)  # fmt: skip

__all__ = ["rewrite"]

_VARIANCES = (aten.var.correction, aten.var.dim)
_DEVIATIONS = (aten.std.correction, aten.std.dim)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, *_VARIANCES, *_DEVIATIONS):
        given = arguments(node)
        source = given["self"]
        shape = value(source).shape
        dims = [normal_dim(d, len(shape)) for d in given["dim"] or range(len(shape))]
        count = math.prod(shape[d] for d in dims)
        correction = given.get("correction")
        if correction is None:
            correction = 1 if given.get("unbiased", True) else 0
        if count <= correction:
            continue  # not a number, whatever the form
        mean = insert(node, aten.mean.dim, source, dims, True)
        centred = insert(node, aten.sub.Tensor, source, mean)
        square = insert(node, aten.mul.Tensor, centred, centred)
        result = insert(node, aten.mean.dim, square, dims, True)
        if correction:
            result = insert(node, aten.mul.Tensor, result, count / (count - correction))
        if node.target in _DEVIATIONS:
            result = insert(node, aten.sqrt.default, result)
        replace(node, reshape(node, result, value(node).shape))
        rewrites += 1
    return rewrites
