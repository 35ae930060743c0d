"""A maximum over height and width becomes a max pool over the whole map.

Reason: ExecuTorch 1.5.1 has no XNNPACK configuration for ``amax``.

Algebra: the same maximum, bit-equal.
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
    rewrites = 0
    for node in calls(graph, aten.amax.default):
        source, given = node.args[0], arguments(node)
        assert isinstance(source, fx.Node)
        shape = value(source).shape
        dims = sorted(normal_dim(d, len(shape)) for d in given["dim"])
        if len(shape) != 4 or dims != [2, 3] or not value(source).is_floating_point():
            continue
        pooled = insert(node, aten.max_pool2d.default, source, list(shape[2:]))
        replace(node, reshape(node, pooled, value(node).shape))
        rewrites += 1
    return rewrites
