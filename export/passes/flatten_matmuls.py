"""Matrix products of every rank become ``bmm`` on rank three, or fully connected layers.

Reason: ``matmul`` of two 4-D tensors is decomposed with an ``expand_copy`` of each operand,
which expands nothing and which XNNPACK does not take: four breaks per attention. Products with a
vector become ``mv`` and ``dot``, products of two computed matrices ``mm``: none is delegated.

Algebra: ``matmul(a, b) = reshape(bmm(reshape(a), reshape(b)))``, bit-equal; a vector is a matrix
of one row or one column. Where one operand has a batch dimension of one and the other has not, it
is multiplied with ones first. A product with one constant matrix is ``linear(a, b^T)``, equal
within 1e-6.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from export.passes._editing import (
    aten,
    attribute,
    constant,
    expand_to,
    insert,
    replace_calls,
    reshape,
    value,
)

__all__ = ["rewrite"]


_PRODUCTS = (aten.matmul.default, aten.mm.default, aten.mv.default, aten.dot.default)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _flatten, *_PRODUCTS)


def _flatten(node: fx.Node, _: dict[str, Any]) -> fx.Node | None:
    left, right = node.args
    assert isinstance(left, fx.Node)
    assert isinstance(right, fx.Node)
    if not value(node).is_floating_point() or _is_delegated(left, right):
        return None
    if value(left).dim() == 1:
        left = _as_matrix(node, left, [1, -1])
    if value(right).dim() == 1:
        right = _as_matrix(node, right, [-1, 1])
    multiply = _by_matrix if value(right).dim() == 2 else _by_batch
    return reshape(node, multiply(node, left, right), value(node).shape)


def _is_delegated(left: fx.Node, right: fx.Node) -> bool:
    """Whether ExecuTorch itself makes a fully connected layer of it."""
    return value(left).dim() == value(right).dim() == 2 and right.op == "get_attr"


def _as_matrix(node: fx.Node, vector: fx.Node, shape: list[int]) -> fx.Node:
    if vector.op == "get_attr":
        return constant(node, attribute(vector).reshape(shape), "matrix")
    return insert(node, aten.reshape.default, vector, shape)


def _by_batch(node: fx.Node, left: fx.Node, right: fx.Node) -> fx.Node:
    batch = torch.broadcast_shapes(value(left).shape[:-2], value(right).shape[:-2])
    left = expand_to(node, left, [*batch, *value(left).shape[-2:]])
    right = expand_to(node, right, [*batch, *value(right).shape[-2:]])
    a, b = value(left).shape, value(right).shape
    return insert(
        node,
        aten.bmm.default,
        reshape(node, left, [a[:-2].numel(), a[-2], a[-1]]),
        reshape(node, right, [b[:-2].numel(), b[-2], b[-1]]),
    )


def _by_matrix(node: fx.Node, left: fx.Node, right: fx.Node) -> fx.Node:
    """Multiply by one matrix: a fully connected layer if the matrix is a constant."""
    if right.op == "get_attr":
        weight = constant(node, attribute(right).t(), "transposed")
        return insert(node, aten.linear.default, left, weight)
    shape = value(left).shape
    flat = reshape(node, left, [1, shape[:-1].numel(), shape[-1]])
    return insert(node, aten.bmm.default, flat, reshape(node, right, [1, *value(right).shape]))
