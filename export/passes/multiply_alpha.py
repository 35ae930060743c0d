"""``add`` and ``sub`` with a factor become a product and a sum.

Reason: XNNPACK's partitioner takes them with ``alpha = 1`` only.

Algebra: ``add(x, y, alpha=a) = x + a y``; equal within 1e-6, for PyTorch may round once.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import arguments, aten, calls, insert, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.add.Tensor, aten.sub.Tensor):
        given = arguments(node)
        if given["alpha"] == 1 or not value(node).is_floating_point():
            continue
        if not isinstance(given["other"], fx.Node):
            scaled = given["other"] * given["alpha"]
        else:
            scaled = insert(node, aten.mul.Tensor, given["other"], float(given["alpha"]))
        replace(node, insert(node, node.target, given["self"], scaled))
        rewrites += 1
    return rewrites
