"""``add``, ``sub`` and ``rsub`` with a factor become a product and a sum.

Reason: XNNPACK's partitioner takes them with ``alpha = 1`` only.

Algebra: ``add(x, y, alpha=a) = x + a y`` and ``rsub(x, y, alpha=a) = y - a x``; equal within
1e-6, for PyTorch may round once.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import arguments, aten, calls, insert, replace, value

__all__ = ["rewrite"]


_REVERSED = (aten.rsub.Scalar, aten.rsub.Tensor)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.add.Tensor, aten.sub.Tensor, *_REVERSED):
        given = arguments(node)
        if given["alpha"] == 1 or not value(node).is_floating_point():
            continue
        name = "self" if node.target in _REVERSED else "other"
        given[name] = _scale(node, given[name], float(given["alpha"]))
        replace(node, insert(node, node.target, given["self"], given["other"]))
        rewrites += 1
    return rewrites


def _scale(node: fx.Node, factor: Any, alpha: float) -> Any:
    if isinstance(factor, fx.Node):
        return insert(node, aten.mul.Tensor, factor, alpha)
    return factor * alpha
