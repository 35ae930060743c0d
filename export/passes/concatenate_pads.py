"""Reflecting, replicating, circular and negative padding become slices and concatenations.

Reason: XNNPACK pads with constants only; ExecuTorch decomposes the other modes into index
arithmetic on integers, and its own kernel fails on negative padding when it runs.

Algebra: a padded dimension is the concatenation of what stands before it, itself and what
stands behind it; reflection and replication take single elements, circular padding a run;
negative padding is a slice. Bit-equal. Reflections wider than `WIDEST` are left alone.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import arguments, aten, calls, insert, replace, value

__all__ = ["WIDEST", "rewrite"]

WIDEST = 8
"""Single elements on one side; each is a slice of its own."""


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.pad.default, aten.constant_pad_nd.default):
        given = arguments(node)
        mode, pads = given.get("mode", "constant"), list(given["pad"])
        if not pads:
            continue
        if mode == "constant" and min(pads) < 0:
            replace(node, _crop(node, pads))
        elif mode != "constant" and min(pads) >= 0 and _is_narrow(mode, pads):
            result = node.args[0]
            for i in range(0, len(pads), 2):
                dim = value(node).dim() - 1 - i // 2
                result = _pad_dim(node, result, dim, pads[i], pads[i + 1], mode)  # type: ignore[arg-type]  # a node
            replace(node, result)  # type: ignore[arg-type]  # a node
        else:
            continue
        rewrites += 1
    return rewrites


def _is_narrow(mode: str, pads: list[int]) -> bool:
    return mode == "circular" or max(pads) <= WIDEST


def _pad_dim(node: fx.Node, x: fx.Node, dim: int, low: int, high: int, mode: str) -> fx.Node:
    size = value(x).shape[dim]
    if mode == "circular":
        before, after = [(size - low, size)] if low else [], [(0, high)] if high else []
    elif mode == "reflect":
        before = [(i, i + 1) for i in range(low, 0, -1)]
        after = [(size - 2 - i, size - 1 - i) for i in range(high)]
    else:
        before, after = [(0, 1)] * low, [(size - 1, size)] * high
    if not before and not after:
        return x
    parts = [insert(node, aten.slice.Tensor, x, dim, *ends) for ends in before]
    parts.append(x)
    parts += [insert(node, aten.slice.Tensor, x, dim, *ends) for ends in after]
    return insert(node, aten.cat.default, parts, dim)


def _crop(node: fx.Node, pads: list[int]) -> fx.Node:
    result, rank = node.args[0], value(node).dim()
    assert isinstance(result, fx.Node)
    for i in range(0, len(pads), 2):
        dim = rank - 1 - i // 2
        size = value(result).shape[dim]
        start, end = max(0, -pads[i]), size - max(0, -pads[i + 1])
        if (start, end) != (0, size):
            result = insert(node, aten.slice.Tensor, result, dim, start, end)
    grown = [max(0, p) for p in pads]
    if any(grown):
        fill = arguments(node)["value"] or 0.0
        result = insert(node, aten.constant_pad_nd.default, result, grown, fill)
    return result
