"""``repeat`` and ``repeat_interleave`` become concatenations.

Reason: they decompose into expands, which XNNPACK does not take.

Algebra: repeating each element of a dimension s times is reshaping (..., n, ...) to
(..., n, 1, ...), concatenating s copies along the new dimension and reshaping to
(..., n s, ...). Bit-equal.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import (
    arguments,
    aten,
    calls,
    insert,
    normal_dim,
    repeat_each,
    replace,
    reshape,
    value,
)  # fmt: skip

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return _replace_interleaving(graph) + _replace_tiling(graph)


def _replace_interleaving(graph: fx.Graph) -> int:
    rewrites = 0
    for node in calls(graph, aten.repeat_interleave.self_int):
        source, given = node.args[0], arguments(node)
        assert isinstance(source, fx.Node)
        if given["dim"] is None or not given["repeats"] or not value(source).is_floating_point():
            continue
        dim = normal_dim(given["dim"], value(source).dim())
        replace(node, repeat_each(node, source, dim, given["repeats"]))
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
