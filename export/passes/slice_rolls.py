"""``roll`` and writes into slices become slices and a concatenation.

Reason: ExecuTorch decomposes ``roll`` into index arithmetic on integers (``arange``, ``fmod``,
``index_select``), five operators outside the delegate for each; Swin rolls twice per second
block. ``slice_scatter``, the functional form of ``x[:, a:b] = y``, has no configuration.

Algebra: rolling by s along a dimension of size n is ``cat(x[n - s :], x[: n - s])``; writing y
into ``x[a:b]`` is ``cat(x[:a], y, x[b:])``. Bit-equal.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, normal_dim, replace_calls, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _concatenate_roll, aten.roll.default) + replace_calls(
        graph, _concatenate_scatter, aten.slice_scatter.default
    )


def _concatenate_roll(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    result: fx.Node = given["self"]
    if not given["dims"]:
        return None
    for shift, dim in zip(given["shifts"], given["dims"], strict=True):
        size = value(result).shape[dim]
        if shift % size:
            parts = [
                insert(node, aten.slice.Tensor, result, dim, size - shift % size, size),
                insert(node, aten.slice.Tensor, result, dim, 0, size - shift % size),
            ]
            result = insert(node, aten.cat.default, parts, dim)
    return result


def _concatenate_scatter(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    source, written = given["self"], given["src"]
    dim = normal_dim(given["dim"], value(source).dim())
    if given["step"] != 1 or value(written).dtype != value(source).dtype:
        return None
    size, start = value(source).shape[dim], given["start"] or 0
    start = max(0, start + size if start < 0 else start)
    end = start + value(written).shape[dim]
    parts = [written]
    if start > 0:
        parts.insert(0, insert(node, aten.slice.Tensor, source, dim, 0, start))
    if end < size:
        parts.append(insert(node, aten.slice.Tensor, source, dim, end, size))
    return insert(node, aten.cat.default, parts, dim) if len(parts) > 1 else written
