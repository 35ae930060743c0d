"""Repeats, nearest-neighbour upsampling by whole factors among them, become concatenations.

Reason: XNNPACK resizes bilinearly only, and ``repeat`` and ``repeat_interleave`` decompose into
expands it does not take.

Algebra: repeating each element of a dimension s times is reshaping (..., n, ...) to
(..., n, 1, ...), concatenating s copies along the new dimension and reshaping to
(..., n s, ...); upsampling does so for columns and rows. Bit-equal. Factors that are no whole
numbers are left alone.
"""

from __future__ import annotations

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


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return _replace_upsampling(graph) + _replace_interleaving(graph) + _replace_tiling(graph)


def _replace_upsampling(graph: fx.Graph) -> int:
    rewrites = 0
    for node in calls(graph, aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default):
        source = node.args[0]
        assert isinstance(source, fx.Node)
        before, after = value(source).shape, value(node).shape
        if after[2] % before[2] or after[3] % before[3]:
            continue
        wide = _each(node, source, 3, after[3] // before[3])
        replace(node, _each(node, wide, 2, after[2] // before[2]))
        rewrites += 1
    return rewrites


def _replace_interleaving(graph: fx.Graph) -> int:
    rewrites = 0
    for node in calls(graph, aten.repeat_interleave.self_int):
        source, given = node.args[0], arguments(node)
        assert isinstance(source, fx.Node)
        if given["dim"] is None or not value(source).is_floating_point():
            continue
        dim = normal_dim(given["dim"], value(source).dim())
        replace(node, _each(node, source, dim, given["repeats"]))
        rewrites += 1
    return rewrites


def _replace_tiling(graph: fx.Graph) -> int:
    rewrites = 0
    for node in calls(graph, aten.repeat.default):
        source, times = node.args[0], arguments(node)["repeats"]
        assert isinstance(source, fx.Node)
        if not value(source).is_floating_point() or 0 in times:
            continue
        shape = value(source).shape
        result = reshape(node, source, [*[1] * (len(times) - len(shape)), *shape])
        for dim, count in enumerate(times):
            if count > 1:
                result = insert(node, aten.cat.default, [result] * count, dim)
        replace(node, result)
        rewrites += 1
    return rewrites


def _each(node: fx.Node, source: fx.Node, dim: int, times: int) -> fx.Node:
    """Repeat each element of one dimension; the others are grouped to keep the rank at three."""
    shape = value(source).shape
    if times == 1:
        return source
    elements, inner = shape[: dim + 1].numel(), shape[dim + 1 :].numel()
    column = reshape(node, source, [elements, 1, inner])
    repeated = insert(node, aten.cat.default, [column] * times, 1)
    return reshape(node, repeated, [*shape[:dim], shape[dim] * times, *shape[dim + 1 :]])
