"""``unfold`` becomes a depthwise convolution with kernels of zeros and a one.

Reason: ExecuTorch decomposes ``im2col`` into index arithmetic on integers (``arange``, ``add``,
``index``), none of which a delegate takes.

Algebra: with K the elements of a kernel, output channel ``c K + k`` is channel c of the padded
input, shifted by the k-th offset of the kernel: a convolution with C groups of K kernels, the
k-th one having a one at its k-th place. Bit-equal for finite values.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from export.passes._editing import aten, constant, insert, replace_calls, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _convolve, aten.im2col.default)


def _convolve(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    source = given["self"]
    if value(source).dim() != 4 or not value(source).is_floating_point():
        return None
    channels, kernel = value(source).shape[1], list(given["kernel_size"])
    places = torch.eye(math.prod(kernel)).reshape(-1, 1, *kernel)
    weight = constant(node, places.repeat(channels, 1, 1, 1), "unfold", meets=source)
    options = (given["stride"], given["padding"], given["dilation"], channels)
    columns = insert(node, aten.conv2d.default, source, weight, None, *options)
    return reshape(node, columns, value(node).shape)
