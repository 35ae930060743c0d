"""A maximum or minimum over dimensions becomes max pools.

Reason: ExecuTorch 1.5.1 has no XNNPACK configuration for ``amax``; the one it has for
``max(dim)`` accepts dimensions that XNNPACK's serializer then raises on.

Algebra: height and width of a 4-D tensor are pooled over the whole map. Otherwise the tensor is
reshaped to (1, before, D, after), D being the reduced dimensions, and pooled with a kernel of
(D, 1). Dimensions that are no neighbours are pooled one group after the other.
``min(x) = -max(-x)``. Bit-equal. A maximum whose indices are used is left alone.
"""

from __future__ import annotations

import operator

from torch import fx

from export.passes._editing import (
    arguments,
    aten,
    calls,
    insert,
    is_call,
    neighbour_groups,
    normal_dim,
    replace,
    reshape,
    value,
)  # fmt: skip

__all__ = ["rewrite"]

_OVER_DIMS = (aten.amax.default, aten.amin.default)
_WITH_INDICES = (aten.max.dim, aten.min.dim)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, *_OVER_DIMS, *_WITH_INDICES):
        source, given = node.args[0], arguments(node)
        assert isinstance(source, fx.Node)
        results = [node]
        if node.target in _WITH_INDICES:
            results = list(node.users)
            if any(not is_call(u, operator.getitem) or u.args[1] != 0 for u in results):
                continue
        rank = value(source).dim()
        dims = [given["dim"]] if isinstance(given["dim"], int) else list(given["dim"])
        dims = sorted(normal_dim(d, rank) for d in dims or range(rank))
        if not value(source).is_floating_point() or rank < 2:
            continue
        negated = node.target in (aten.amin.default, aten.min.dim)
        for result in results:
            replace(result, _insert_pool(result, source, dims, negated=negated))
        if results != [node]:
            graph.erase_node(node)
        rewrites += 1
    return rewrites


def _insert_pool(node: fx.Node, source: fx.Node, dims: list[int], *, negated: bool) -> fx.Node:
    x = insert(node, aten.neg.default, source) if negated else source
    for first, end in neighbour_groups(dims):
        x = _pool(node, x, first, end)
    x = reshape(node, x, value(node).shape)
    return insert(node, aten.neg.default, x) if negated else x


def _pool(node: fx.Node, x: fx.Node, first: int, end: int) -> fx.Node:
    """Pool over neighbouring dimensions; each stays with size one."""
    shape = value(x).shape
    kernel = list(shape[2:])
    if (first, end) != (2, 4) or len(shape) != 4:
        kernel = [shape[first:end].numel(), 1]
        x = reshape(node, x, [1, shape[:first].numel(), kernel[0], shape[end:].numel()])
    if kernel != [1, 1]:  # XNNPACK has no pool over a single element
        x = insert(node, aten.max_pool2d.default, x, kernel, kernel)
    return reshape(node, x, [*shape[:first], *[1] * (end - first), *shape[end:]])
