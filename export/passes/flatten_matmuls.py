"""Batched matrix products of rank four and more become ``bmm`` on rank three.

Reason: ``matmul`` of two 4-D tensors is decomposed with an ``expand_copy`` of each operand,
which expands nothing and which XNNPACK does not take: four breaks per attention.

Algebra: ``matmul(a, b) = reshape(bmm(reshape(a), reshape(b)))``, bit-equal. Where one operand
has a batch dimension of one and the other has not, it is multiplied with ones first. A product
with one constant matrix is ``linear(a, b^T)``, equal within 1e-6.
"""

from __future__ import annotations

import torch
from torch import fx

from export.passes._editing import (
    aten,
    attribute,
    calls,
    constant,
    expand_to,
    insert,
    replace,
    reshape,
    value,
)

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.matmul.default):
        left, right = node.args
        assert isinstance(left, fx.Node)
        assert isinstance(right, fx.Node)
        if value(left).dim() < 3:
            continue
        if value(right).dim() == 2:
            replace(node, _by_matrix(node, left, right))
            rewrites += 1
            continue
        if value(right).dim() < 3:
            continue
        batch = torch.broadcast_shapes(value(left).shape[:-2], value(right).shape[:-2])
        left = expand_to(node, left, [*batch, *value(left).shape[-2:]])
        right = expand_to(node, right, [*batch, *value(right).shape[-2:]])
        a, b = value(left).shape, value(right).shape
        product = insert(
            node,
            aten.bmm.default,
            reshape(node, left, [a[:-2].numel(), a[-2], a[-1]]),
            reshape(node, right, [b[:-2].numel(), b[-2], b[-1]]),
        )
        replace(node, reshape(node, product, value(node).shape))
        rewrites += 1
    return rewrites


def _by_matrix(node: fx.Node, left: fx.Node, right: fx.Node) -> fx.Node:
    """A batch times one matrix: a fully connected layer if the matrix is a constant."""
    if right.op == "get_attr":
        weight = constant(node, attribute(right).t().contiguous(), "transposed")
        return insert(node, aten.linear.default, left, weight)
    shape = value(left).shape
    flat = reshape(node, left, [1, shape[:-1].numel(), shape[-1]])
    product = insert(node, aten.bmm.default, flat, reshape(node, right, [1, *value(right).shape]))
    return reshape(node, product, value(node).shape)
