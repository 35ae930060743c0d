"""A mean or sum over height and width keeps its dimensions and is reshaped afterwards.

Reason: XNNPACK takes ``mean`` of a 4-D tensor over exactly its last two dimensions and only with
``keepdim=True`` (its global average pooling). MNASNet, RepViT and ShuffleNetV2 end in
``x.mean([2, 3])`` and lose the rest of the network to a second delegate.

Algebra: ``mean(x, (2, 3)) = reshape(mean(x, (2, 3), keepdim))``, bit-equal;
``sum(x, (2, 3)) = H W mean(x, (2, 3))``, equal up to one rounding.
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
    for node in calls(graph, aten.mean.dim, aten.sum.dim_IntList):
        source, given = node.args[0], arguments(node)
        assert isinstance(source, fx.Node)
        is_sum = node.target is aten.sum.dim_IntList
        shape = value(source).shape
        dims = sorted(normal_dim(d, len(shape)) for d in given["dim"] or ())
        if len(shape) != 4 or dims != [2, 3] or given["dtype"] is not None:
            continue
        if not value(source).is_floating_point() or (given["keepdim"] and not is_sum):
            continue
        mean = insert(node, aten.mean.dim, source, [2, 3], True)
        if is_sum:
            mean = insert(node, aten.mul.Tensor, mean, float(shape[2] * shape[3]))
        replace(node, reshape(node, mean, value(node).shape))
        rewrites += 1
    return rewrites
