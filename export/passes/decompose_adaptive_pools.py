"""Adaptive pooling becomes a mean or a pool with a fixed kernel.

Reason: XNNPACK has no adaptive pooling, and ExecuTorch 1.5.1 raises a SpecViolationError for
``adaptive_max_pool2d``. To one cell, PyTorch's own average is a mean followed, for a tensor that
lies channels last, by an ``as_strided`` that no delegate takes.

Algebra: to one cell the average is ``mean(x, (2, 3), keepdim)``. When the input size is a
multiple of the output size every window has size and stride ``n / k``. Bit-equal. For other
sizes, output i averages the elements from ``floor(i n / k)`` to ``ceil((i + 1) n / k)``, a product
with a constant (k, n) matrix for columns and one for rows; equal within 1e-6. A maximum with
windows of changing size, or whose indices are used, is left alone.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx

from export.passes._editing import aten, calls, insert, is_call, multiply_along, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many pools were changed."""
    rewrites = 0
    for node in calls(graph, aten.adaptive_avg_pool2d.default, aten.adaptive_max_pool2d.default):
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if value(source).dim() != 4:
            continue
        kernel = _fixed_kernel(value(source).shape[-2:], _output_size(node))
        if node.target is aten.adaptive_avg_pool2d.default:
            replace(node, _average(node, source, kernel))
        elif kernel is None or not _replace_maximum(node, source, kernel):
            continue
        rewrites += 1
    return rewrites


def _output_size(node: fx.Node) -> list[int]:
    result = node.meta["val"]
    return list((result[0] if isinstance(result, tuple | list) else result).shape[-2:])


def _fixed_kernel(size: tuple[int, ...], output: list[int]) -> list[int] | None:
    if any(n % k for n, k in zip(size, output, strict=True)):
        return None
    return [n // k for n, k in zip(size, output, strict=True)]


def _average(node: fx.Node, source: fx.Node, kernel: list[int] | None) -> fx.Node:
    size, output = value(source).shape[-2:], _output_size(node)
    if kernel == [1, 1]:
        return source
    if output == [1, 1]:
        return insert(node, aten.mean.dim, source, [2, 3], True)
    if kernel is not None:
        return insert(node, aten.avg_pool2d.default, source, kernel, kernel)
    narrow = multiply_along(node, source, 3, _windows(size[1], output[1]), "pool_columns")
    return multiply_along(node, narrow, 2, _windows(size[0], output[0]), "pool_rows")


def _windows(size: int, count: int) -> Tensor:
    """Return the (count, size) matrix whose rows average the windows."""
    matrix = torch.zeros(count, size, dtype=torch.float64)
    for i in range(count):
        start, end = i * size // count, -(-(i + 1) * size // count)
        matrix[i, start:end] = 1 / (end - start)
    return matrix


def _replace_maximum(node: fx.Node, source: fx.Node, kernel: list[int]) -> bool:
    users = list(node.users)
    if any(not is_call(user, operator.getitem) or user.args[1] != 0 for user in users):
        return False
    for user in users:
        replace(user, insert(node, aten.max_pool2d.default, source, kernel, kernel))
    node.graph.erase_node(node)
    return True
