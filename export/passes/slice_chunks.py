"""``chunk``, ``split``, ``unbind`` and ``select`` become slices.

Reason: XNNPACK's partitioner has no configuration for ``split_with_sizes_copy`` or
``select_copy``; ShuffleNetV2's 13 channel splits alone cut it into 15 delegates. It takes
slices of step one.

Algebra: the i-th piece is ``x[start_i : start_i + size_i]`` along the dimension; ``unbind`` and
``select`` also drop the dimension of size one, a reshape. Bit-equal.
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
    normal_dim,
    replace,
    reshape,
    value,
)  # fmt: skip

__all__ = ["rewrite"]

_SPLITS = (
    aten.chunk.default,
    aten.split.Tensor,
    aten.split.sizes,
    aten.split_with_sizes.default,
    aten.tensor_split.sections,
    aten.tensor_split.indices,
    aten.unbind.int,
    aten.unsafe_chunk.default,
    aten.unsafe_split.Tensor,
)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, *_SPLITS):
        source, given = node.args[0], arguments(node)
        assert isinstance(source, fx.Node)
        if any(not is_call(user, operator.getitem) for user in node.users):
            continue
        dim = normal_dim(given["dim"], value(source).dim())
        drop = node.target is aten.unbind.int
        sizes = [1 if drop else int(piece.shape[dim]) for piece in node.meta["val"]]
        for user in list(node.users):
            index = int(user.args[1]) % len(sizes)  # type: ignore[arg-type]  # an int
            start = sum(sizes[:index])
            piece = insert(user, aten.slice.Tensor, source, dim, start, start + sizes[index])
            replace(user, reshape(user, piece, value(user).shape))
        graph.erase_node(node)
        rewrites += 1
    for node in calls(graph, aten.select.int):
        source, given = node.args[0], arguments(node)
        assert isinstance(source, fx.Node)
        dim = normal_dim(given["dim"], value(source).dim())
        index = given["index"] % value(source).shape[dim]
        piece = insert(node, aten.slice.Tensor, source, dim, index, index + 1)
        replace(node, reshape(node, piece, value(node).shape))
        rewrites += 1
    return rewrites
