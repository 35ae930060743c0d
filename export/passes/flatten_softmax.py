"""Softmax of a rank-four tensor is computed on rank two.

Reason: **a silent wrong result of ExecuTorch 1.5.1.** XNNPACK normalises over the innermost
dimension in memory. A 4-D tensor that comes from a convolution lies there channels last, and
``_softmax`` is not among the operators for which ChannelsLastTaggedReshapePass goes back to
channels first, so ``softmax(x, -1)`` is summed over channels instead of columns: delegated, no
operator left, and wrong by half. A reshape in front forces the order the graph means.
Over another dimension than the last, softmax is not delegated at all.

Algebra: softmax over the last dimension does not care how the others are grouped; another
dimension is swapped with the last before and after. Bit-equal.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, normal_dim, replace_calls, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _flatten, aten.softmax.int, aten._softmax.default)


def _flatten(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    source = given["self"]
    rank = value(source).dim()
    dim = normal_dim(given["dim"], max(rank, 1))
    if given.get("dtype") is not None or rank < 2 or (rank < 4 and dim == rank - 1):
        return None
    swapped = source
    if dim != rank - 1:
        swapped = insert(node, aten.transpose.int, source, dim, rank - 1)
    shape = value(swapped).shape
    flat = reshape(node, swapped, [shape[:-1].numel(), shape[-1]])
    result = reshape(node, insert(node, aten.softmax.int, flat, -1), shape)
    if dim != rank - 1:
        result = insert(node, aten.transpose.int, result, dim, rank - 1)
    return result
