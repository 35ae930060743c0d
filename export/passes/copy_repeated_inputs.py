"""A concatenation that reads one tensor only reads a copy of it the second time.

Reason: XNNPACK's partitioner counts different inputs and refuses a concatenation of a tensor
with itself.

Algebra: ``x * 1.0`` is x, bit for bit. The product keeps the order in memory, which a reshape
would not.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, insert, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.cat.default):
        parts = list(node.args[0])  # type: ignore[arg-type]  # a list
        if len(parts) < 2 or len(set(parts)) > 1 or not value(node).is_floating_point():
            continue
        parts[-1] = insert(node, aten.mul.Tensor, parts[-1], 1.0)
        replace(node, insert(node, aten.cat.default, parts, *node.args[1:]))
        rewrites += 1
    return rewrites
