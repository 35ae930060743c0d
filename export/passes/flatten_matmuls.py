"""Batched matrix products of rank four and more become ``bmm`` on rank three.

Reason: ``matmul`` of two 4-D tensors is decomposed with an ``expand_copy`` of each operand,
which expands nothing and which XNNPACK does not take: four breaks per attention.

Algebra: with equal batch dimensions, ``matmul(a, b) = reshape(bmm(reshape(a), reshape(b)))``,
bit-equal. Products that broadcast a batch dimension are left alone.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, insert, replace, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.matmul.default):
        left, right = node.args
        assert isinstance(left, fx.Node)
        assert isinstance(right, fx.Node)
        a, b = value(left).shape, value(right).shape
        if len(a) < 3 or len(a) != len(b) or a[:-2] != b[:-2]:
            continue
        product = insert(
            node,
            aten.bmm.default,
            reshape(node, left, [a[:-2].numel(), a[-2], a[-1]]),
            reshape(node, right, [b[:-2].numel(), b[-2], b[-1]]),
        )
        replace(node, reshape(node, product, value(node).shape))
        rewrites += 1
    return rewrites
