"""A mean or sum over height and width keeps its dimensions and is reshaped afterwards.

Reason: XNNPACK takes ``mean`` of a 4-D tensor over exactly its last two dimensions and only with
``keepdim=True`` (its global average pooling). MNASNet, RepViT and ShuffleNetV2 end in
``x.mean([2, 3])`` and lose the rest of the network to a second delegate.

XNNPACK adds the elements of a map up one by one, which loses digits on a large one: over 224 by
224 its mean is 30 times as far from the right one as PyTorch's, which sums in parts.

Algebra: ``mean(x, (2, 3)) = reshape(mean(x, (2, 3), keepdim))``, bit-equal;
``sum(x, (2, 3)) = H W mean(x, (2, 3))``, equal up to one rounding. More than `LARGEST` elements are
averaged in parts first, row by row, equal within 1e-6.
"""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from export.passes._editing import aten, insert, normal_dim, replace_calls, reshape, value

__all__ = ["LARGEST", "rewrite"]

LARGEST = 64 * 64
"""Elements of a map that are averaged in one go."""


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _keep_dims, aten.mean.dim, aten.sum.dim_IntList)


def _keep_dims(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    source = given["self"]
    is_sum = node.target is aten.sum.dim_IntList
    shape = value(source).shape
    dims = sorted(normal_dim(d, len(shape)) for d in given["dim"] or ())
    if len(shape) != 4 or dims != [2, 3] or given["dtype"] is not None:
        return None
    area, part = shape[2] * shape[3], _part(shape[2], shape[3])
    is_large = area > LARGEST and part != [1, 1]
    is_fine = given["keepdim"] and not is_sum and not is_large
    if not value(source).is_floating_point() or is_fine:
        return None
    if is_large:
        source = insert(node, aten.avg_pool2d.default, source, part, part)
    mean = insert(node, aten.mean.dim, source, [2, 3], True)
    if is_sum:
        mean = insert(node, aten.mul.Tensor, mean, float(area))
    return reshape(node, mean, value(node).shape)


def _part(height: int, width: int) -> list[int]:
    """Return the window that a large map is averaged over first: a row, or part of a column."""
    if width > 1:
        return [1, width]
    return [next(d for d in range(math.isqrt(height), 0, -1) if height % d == 0), 1]
