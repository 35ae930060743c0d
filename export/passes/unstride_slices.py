"""Slices with a step, and pools with a kernel of one, become what the delegate can do.

Reason: XNNPACK slices with step one only, and refuses a max pool whose stride is larger than
its kernel. ``x[:, :, ::2, ::2]`` is the shortcut of many residual networks, four such slices
are the stem of YOLOv5 and the patch merging of Swin.

Algebra, bit-equal in each case:

* Height or width of a 4-D tensor: an average over a single element is that element, so
  ``x[:, :, a::s]`` is ``avg_pool2d(x[:, :, a:], kernel=1, stride=(s, 1))``. Two in a row are one
  pool. A max pool with kernel one is the same.
* Another dimension: with n outputs, ``x[b : b + n s]`` is reshaped to (n, s) and the wanted
  element of each group of s is sliced out; b is chosen so that the groups lie inside x. Where
  none does, the last element is sliced out by itself and joined to the others.
"""

from __future__ import annotations

from typing import Any

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


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.max_pool2d.default):
        given = arguments(node)
        source = given["self"]
        plain = set(given["kernel_size"]) == {1} and not any(_list(given["padding"]))
        if not plain or value(source).dim() != 4 or given["ceil_mode"]:
            continue
        if max(_list(given["stride"]) or [1]) > 1:
            replace(node, insert(node, aten.avg_pool2d.default, source, [1, 1], given["stride"]))
            rewrites += 1
    for node in calls(graph, aten.slice.Tensor):
        given = arguments(node)
        if given["step"] > 1 and value(node).numel() and _rewrite_slice(node, given):
            rewrites += 1
    return rewrites


def _rewrite_slice(node: fx.Node, given: dict[str, Any]) -> bool:
    source, step = given["self"], given["step"]
    shape = value(source).shape
    dim = normal_dim(given["dim"], len(shape))
    size, count = shape[dim], value(node).shape[dim]
    start = given["start"] or 0
    start = max(0, start + size if start < 0 else start)
    if len(shape) == 4 and dim >= 2 and value(source).is_floating_point():
        replace(
            node, _pool(node, source, dim, start, min(size, start + (count - 1) * step + 1), step)
        )
        return True
    begin = max(0, min(start, size - count * step))
    if len(shape) > 5:
        return False
    if start - step < begin and begin + count * step <= size:
        replace(node, _take(node, source, dim, begin, start - begin, count, step))
        return True
    last = start + (count - 1) * step
    parts = [_slice(node, source, dim, last, last + 1)]
    if count > 1:
        parts.insert(0, _take(node, source, dim, start, 0, count - 1, step))
    replace(node, insert(node, aten.cat.default, parts, dim) if count > 1 else parts[0])
    return True


def _take(
    node: fx.Node, source: fx.Node, dim: int, begin: int, which: int, count: int, step: int
) -> fx.Node:
    """Take the element `which` of each of `count` groups of `step`, which begin at `begin`."""
    shape = value(source).shape
    part = _slice(node, source, dim, begin, begin + count * step)
    groups = reshape(node, part, [*shape[:dim], count, step, *shape[dim + 1 :]])
    wanted = _slice(node, groups, dim + 1, which, which + 1)
    return reshape(node, wanted, [*shape[:dim], count, *shape[dim + 1 :]])


def _pool(node: fx.Node, source: fx.Node, dim: int, start: int, end: int, step: int) -> fx.Node:
    """Pool over `dim`; a pool over the other dimension that nothing else reads is merged."""
    stride = [step, 1] if dim == 2 else [1, step]
    if is_call(source, aten.avg_pool2d.default) and len(source.users) == 1:
        before = arguments(source)
        mergeable = set(before["kernel_size"]) == {1} and before["stride"][dim - 2] == 1
        if mergeable and not any(_list(before["padding"])):
            stride = [a * b for a, b in zip(stride, before["stride"], strict=True)]
            source = before["self"]
    part = _slice(node, source, dim, start, end)
    return insert(node, aten.avg_pool2d.default, part, [1, 1], stride)


def _slice(node: fx.Node, source: fx.Node, dim: int, start: int, end: int) -> fx.Node:
    if start == 0 and end >= value(source).shape[dim]:
        return source
    return insert(node, aten.slice.Tensor, source, dim, start, end)


def _list(numbers: int | list[int]) -> list[int]:
    return [numbers] if isinstance(numbers, int) else list(numbers)
