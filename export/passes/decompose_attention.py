"""Scaled dot-product attention is spelt out as two ``bmm`` and a softmax.

Reason: ExecuTorch's own decomposition of ``scaled_dot_product_attention`` leaves expands,
scalar products, ``where`` and ``any`` outside the delegate.

Algebra: ``softmax(scale q k^T + mask, -1) v`` with batch and heads flattened into one
dimension; a boolean mask and causality are constants and become 0 and -inf. PyTorch scales q
and k by sqrt(scale) each; here the product is scaled once. Equal within 1e-5.
Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762, equation 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from export.passes._editing import (
    arguments,
    aten,
    attribute,
    calls,
    constant,
    insert,
    replace,
    reshape,
    value,
)  # fmt: skip

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.scaled_dot_product_attention.default):
        given = arguments(node)
        if not _is_plain(given):
            continue
        q, k, v = (_flat(node, given[name]) for name in ("query", "key", "value"))
        scale = given["scale"] or 1 / math.sqrt(value(q).shape[-1])
        scores = insert(node, aten.bmm.default, q, insert(node, aten.transpose.int, k, 1, 2))
        scores = insert(node, aten.mul.Tensor, scores, float(scale))
        mask = _mask(node, given, value(scores).shape)
        if mask is not None:
            scores = _add_mask(node, given, scores, mask)
        weights = insert(node, aten.softmax.int, scores, -1)
        replace(node, reshape(node, insert(node, aten.bmm.default, weights, v), value(node).shape))
        rewrites += 1
    return rewrites


def _is_plain(given: dict[str, Any]) -> bool:
    """Whether q, k and v share their batch dimensions and the mask can be added as it is."""
    q, k, v = (value(given[name]) for name in ("query", "key", "value"))
    mask = given["attn_mask"]
    return (
        not given["dropout_p"]
        and q.dim() >= 3
        and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        and (mask is None or mask.op == "get_attr" or value(mask).is_floating_point())
    )


def _flat(node: fx.Node, tensor: fx.Node) -> fx.Node:
    shape = value(tensor).shape
    return reshape(node, tensor, [shape[:-2].numel(), *shape[-2:]])


def _mask(node: fx.Node, given: dict[str, Any], scores: torch.Size) -> fx.Node | None:
    """Return what is added to the scores: a float mask, or a constant made from a boolean one."""
    mask = given["attn_mask"]
    if given["is_causal"]:
        keep = torch.ones(scores[-2:], dtype=torch.bool).tril()
    elif mask is not None and value(mask).dtype == torch.bool:
        keep = attribute(mask)
    else:
        return mask  # type: ignore[no-any-return]  # a node or None
    return constant(node, torch.zeros(keep.shape).masked_fill(~keep, -math.inf), "attention_mask")


def _add_mask(node: fx.Node, given: dict[str, Any], scores: fx.Node, mask: fx.Node) -> fx.Node:
    """Add the mask on rank three where its shape allows, else on the operands' own rank."""
    full = [*value(given["query"]).shape[:-1], value(scores).shape[-1]]
    own = list(value(mask).shape)
    if all(d == 1 for d in own[:-2]):
        return insert(node, aten.add.Tensor, scores, reshape(node, mask, [1, *own[-2:]]))
    if own == full:
        return insert(node, aten.add.Tensor, scores, reshape(node, mask, value(scores).shape))
    wide = insert(node, aten.add.Tensor, reshape(node, scores, full), mask)
    return reshape(node, wide, value(scores).shape)
