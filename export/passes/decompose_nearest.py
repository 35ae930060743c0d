"""Nearest-neighbour resizing becomes repeats, or a product with a matrix of zeros and ones.

Reason: XNNPACK resizes bilinearly only. Feature pyramids at odd sizes resize to the size of the
finer map, which is no whole factor, and each resize cuts the network in two.

Algebra: PyTorch's own operator, asked with the numbers of the elements as values, says which
element each output takes. Each element is repeated as often as the most wanted one, and what is
too much is cut out again, bit-equal. Where that leaves more than `MOST_PIECES` pieces, the
dimension is multiplied by the matrix that selects; bit-equal for finite values.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import fx

from export.passes._editing import aten, insert, multiply_along, repeat_each, replace_calls, value

__all__ = ["MOST_PIECES", "rewrite"]

MOST_PIECES = 5
"""Slices of one resized dimension; XNNPACK concatenates up to five tensors at a time."""

_NEAREST = tuple(
    getattr(packet, overload)
    for packet in (
        aten.upsample_nearest1d, aten.upsample_nearest2d,
        aten._upsample_nearest_exact1d, aten._upsample_nearest_exact2d,
    )
    for overload in ("default", "vec")
)  # fmt: skip


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _decompose, *_NEAREST)


def _decompose(node: fx.Node, _: dict[str, Any]) -> fx.Node | None:
    source = node.args[0]  # whose name differs between the overloads
    assert isinstance(source, fx.Node)
    if not value(source).is_floating_point():
        return None
    result = source
    for dim in range(value(source).dim() - 1, 1, -1):
        result = _take(node, result, dim, _wanted(node, source, dim))
    return result


def _wanted(node: fx.Node, source: fx.Node, dim: int) -> list[int]:
    """Return which element of `dim` each output takes."""
    spatial = value(source).shape[2:]
    shape = [1] * len(spatial)
    shape[dim - 2] = spatial[dim - 2]
    numbers = torch.arange(spatial[dim - 2], dtype=torch.float32).reshape(shape)
    operator: Any = node.target
    taken = operator(numbers.expand(1, 1, *spatial), *node.args[1:], **node.kwargs)
    line = taken[0, 0].movedim(dim - 2, -1)
    return [int(i) for i in line.reshape(-1, line.shape[-1])[0]]


def _take(node: fx.Node, x: fx.Node, dim: int, wanted: list[int]) -> fx.Node:
    """Insert what gives element ``wanted[i]`` of a dimension at place i; `wanted` ascends."""
    size = value(x).shape[dim]
    if wanted == list(range(size)):
        return x
    times = max(Counter(wanted).values())
    first = {element: place for place, element in reversed(list(enumerate(wanted)))}
    places = [e * times + place - first[e] for place, e in enumerate(wanted)]
    cuts = [i for i in range(1, len(places)) if places[i] != places[i - 1] + 1]
    if len(cuts) >= MOST_PIECES:
        matrix = torch.zeros(len(wanted), size)
        matrix[torch.arange(len(wanted)), torch.tensor(wanted)] = 1.0
        return multiply_along(node, x, dim, matrix, "nearest")
    repeated = repeat_each(node, x, dim, times)
    if places == list(range(size * times)):
        return repeated
    pieces = [
        insert(node, aten.slice.Tensor, repeated, dim, places[begin], places[end - 1] + 1)
        for begin, end in zip([0, *cuts], [*cuts, len(places)], strict=True)
    ]
    return pieces[0] if len(pieces) == 1 else insert(node, aten.cat.default, pieces, dim)
