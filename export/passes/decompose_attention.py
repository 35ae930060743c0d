"""Scaled dot-product attention is spelt out as two ``bmm`` and a softmax.

Reason: ExecuTorch's own decomposition of ``scaled_dot_product_attention`` leaves expands,
scalar products, ``where`` and ``any`` outside the delegate.

Algebra: ``softmax(scale q k^T + mask, -1) v`` with batch and heads flattened into one
dimension; the queries of heads that share their keys and values (multi-query attention) are rows
of one product. A boolean mask and causality are constants and become 0 and -inf. A query that a
constant mask keeps from every key gets zeros, as PyTorch has it: its row of the mask becomes 0
and its row of the weights is multiplied by 0. PyTorch scales q and k by sqrt(scale) each; here
the product is scaled once. Equal within 1e-5.
Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762, equation 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from export.passes._editing import aten, attribute, constant, insert, replace_calls, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _decompose, aten.scaled_dot_product_attention.default)


def _decompose(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    if not _is_plain(given):
        return None
    k, v = (_flat(node, given[name]) for name in ("key", "value"))
    # As many products as there are different keys.
    q = reshape(node, given["query"], [value(k).shape[0], -1, value(k).shape[2]])
    scale = given["scale"]
    if scale is None:
        scale = 1 / math.sqrt(value(q).shape[-1])
    scores = insert(node, aten.bmm.default, q, insert(node, aten.transpose.int, k, 1, 2))
    scores = insert(node, aten.mul.Tensor, scores, float(scale))
    mask, answered = _mask(node, given, scores)
    if mask is not None:
        scores = _combine(node, given, aten.add.Tensor, scores, mask)
    weights = insert(node, aten.softmax.int, scores, -1)
    if answered is not None:
        weights = _combine(node, given, aten.mul.Tensor, weights, answered)
    return reshape(node, insert(node, aten.bmm.default, weights, v), value(node).shape)


def _is_plain(given: dict[str, Any]) -> bool:
    """Whether k and v have q's batch dimensions, or one at the end, and the mask can be added."""
    q, k, v = (value(given[name]) for name in ("query", "key", "value"))
    mask = given["attn_mask"]
    shared = [a == b for a, b in zip(q.shape[:-2], k.shape[:-2], strict=False)]
    lead = shared.index(False) if False in shared else len(shared)
    return (
        not given["dropout_p"]
        and q.dim() == k.dim() >= 3
        and all(size == 1 for size in k.shape[lead:-2])
        and k.shape[:-2] == v.shape[:-2]
        and (mask is None or mask.op == "get_attr" or value(mask).is_floating_point())
    )


def _flat(node: fx.Node, tensor: fx.Node) -> fx.Node:
    shape = value(tensor).shape
    return reshape(node, tensor, [shape[:-2].numel(), *shape[-2:]])


def _mask(
    node: fx.Node, given: dict[str, Any], scores: fx.Node
) -> tuple[fx.Node | None, fx.Node | None]:
    """Return what is added to the scores, and what the weights are multiplied by, if anything."""
    mask = given["attn_mask"]
    if given["is_causal"]:
        rows = value(given["query"]).shape[-2]
        keep = torch.ones(rows, value(scores).shape[-1], dtype=torch.bool).tril()
        added = torch.zeros(keep.shape)
    elif mask is None or mask.op != "get_attr":
        return mask, None
    elif value(mask).dtype == torch.bool:
        keep = attribute(mask)
        added = torch.zeros(keep.shape)
    else:
        added = attribute(mask)
        keep = added > -math.inf
        if keep.any(-1).all():
            return mask, None
    answered = keep.any(-1, keepdim=True)
    added = added.masked_fill(~keep, -math.inf).masked_fill(~answered, 0.0)
    return (
        constant(node, added, "attention_mask", meets=scores),
        None if answered.all() else constant(node, answered, "answered_queries", meets=scores),
    )


def _combine(
    node: fx.Node, given: dict[str, Any], target: Any, scores: fx.Node, other: fx.Node
) -> fx.Node:
    """Apply a mask on rank three where its shape allows, else on the operands' own rank."""
    full = [*value(given["query"]).shape[:-1], value(scores).shape[-1]]
    own = list(value(other).shape)
    if all(d == 1 for d in own[:-2]) and value(scores).shape[1] == full[-2]:
        return insert(node, target, scores, reshape(node, other, [1, *own[-2:]]))
    if own == full:
        return insert(node, target, scores, reshape(node, other, value(scores).shape))
    wide = insert(node, target, reshape(node, scores, full), other)
    return reshape(node, wide, value(scores).shape)
