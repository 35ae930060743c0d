"""Adaptive pooling becomes a mean or a pool with a fixed kernel.

Reason: XNNPACK has no adaptive pooling, and ExecuTorch 1.5.1 raises a SpecViolationError for
``adaptive_max_pool2d``. To one cell, PyTorch's own average is a mean followed, for a tensor that
lies channels last, by an ``as_strided`` that no delegate takes.

Algebra: to one cell the average is ``mean(x, (2, 3), keepdim)``. When the input size is a
multiple of the output size every window has size and stride ``n / k``. Bit-equal. Other sizes
have windows of changing size and are left alone, as is a maximum whose indices are used.
"""

from __future__ import annotations

import operator

from torch import fx

from export.passes._editing import arguments, aten, calls, insert, is_call, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many pools were changed."""
    rewrites = 0
    for node in calls(graph, aten.adaptive_avg_pool2d.default, aten.adaptive_max_pool2d.default):
        source = node.args[0]
        assert isinstance(source, fx.Node)
        kernel = _fixed_kernel(value(source).shape[-2:], arguments(node)["output_size"])
        if kernel is None or value(source).dim() != 4:
            continue
        if node.target is aten.adaptive_avg_pool2d.default:
            _replace_average(node, source, kernel)
        elif not _replace_maximum(node, source, kernel):
            continue
        rewrites += 1
    return rewrites


def _fixed_kernel(size: tuple[int, ...], output: list[int]) -> list[int] | None:
    if any(n % k for n, k in zip(size, output, strict=True)):
        return None
    return [n // k for n, k in zip(size, output, strict=True)]


def _replace_average(node: fx.Node, source: fx.Node, kernel: list[int]) -> None:
    if kernel == [1, 1]:
        replace(node, source)
    elif list(value(node).shape[-2:]) == [1, 1]:
        replace(node, insert(node, aten.mean.dim, source, [2, 3], True))
    else:
        replace(node, insert(node, aten.avg_pool2d.default, source, kernel, kernel))


def _replace_maximum(node: fx.Node, source: fx.Node, kernel: list[int]) -> bool:
    users = list(node.users)
    if any(not is_call(user, operator.getitem) or user.args[1] != 0 for user in users):
        return False
    for user in users:
        replace(user, insert(node, aten.max_pool2d.default, source, kernel, kernel))
    node.graph.erase_node(node)
    return True
