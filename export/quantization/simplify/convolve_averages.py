"""An average pool becomes a depthwise convolution with equal weights.

Reason: neither delegate has an 8-bit average pool of every window, both have the convolution. The
pool of one tap, which takes every second element, is the common case.

Algebra: the average over k taps is the sum with weights 1 / k. Pools that count padding as zeros
pad a convolution likewise; a pool that leaves padding out of its divisor stays as it is.
"""

from __future__ import annotations

import torch
from torch import fx

from export.passes._editing import arguments, aten, calls, constant, insert, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many pools were changed."""
    rewrites = 0
    for node in calls(graph, aten.avg_pool2d.default):
        given = arguments(node)
        kernel, stride, padding = (
            _pair(given[name]) for name in ("kernel_size", "stride", "padding")
        )
        uncounted = any(padding) and not given["count_include_pad"]
        if given["ceil_mode"] or given["divisor_override"] or uncounted or value(node).dim() != 4:
            continue
        channels = value(node).shape[1]
        taps = torch.full((channels, 1, *kernel), 1.0 / (kernel[0] * kernel[1]))
        weight = constant(node, taps, "average")
        bias = constant(node, torch.zeros(channels), "zeros")
        window = [stride or kernel, padding, (1, 1)]
        sizes = [list(pair) for pair in window]
        replace(
            node,
            insert(node, aten.conv2d.default, given["self"], weight, bias, *sizes, channels),
        )
        rewrites += 1
    return rewrites


def _pair(numbers: list[int]) -> tuple[int, ...]:
    return (numbers[0], numbers[0]) if len(numbers) == 1 else tuple(numbers)
