"""Layer norm is spelt out, its means as products with a constant row.

Reason: XNNPACK has no layer norm, and its mean reduces height and width of a 4-D tensor only.
ConvNeXt-Tiny falls into 25 delegates because of 23 layer norms. A product with a row of 1/D is a
fully connected layer with one output: it needs no transpose and delegates.

Algebra: with m = x r and v = (x - m)^2 r for r = (1/D, ..., 1/D),
``layer_norm(x) = (x - m) / sqrt(v + eps) * weight + bias``. Equal within 1e-5.
Source: Layer Normalization, https://arxiv.org/abs/1607.06450, equation 3.
"""

from __future__ import annotations

import math

import torch
from torch import fx

from export.passes._editing import (
    arguments,
    aten,
    attribute,
    calls,
    constant,
    insert,
    replace,
    reshape,
    value,
)  # fmt: skip

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many norms were changed."""
    rewrites = 0
    for node in calls(graph, aten.layer_norm.default):
        given = arguments(node)
        source = given["input"]
        shape, size = value(source).shape, math.prod(given["normalized_shape"])
        affine = [given["weight"], given["bias"]]
        if any(a is not None and a.op != "get_attr" for a in affine):
            continue
        rank = len(given["normalized_shape"])
        x = reshape(node, source, [*shape[: len(shape) - rank], size])
        row = constant(node, torch.full((1, size), 1 / size), "mean_row")
        mean = insert(node, aten.linear.default, x, row)
        centred = insert(node, aten.sub.Tensor, x, mean)
        square = insert(node, aten.mul.Tensor, centred, centred)
        variance = insert(node, aten.linear.default, square, row)
        scale = insert(
            node, aten.rsqrt.default, insert(node, aten.add.Tensor, variance, float(given["eps"]))
        )
        result = insert(node, aten.mul.Tensor, centred, scale)
        for target, parameter in zip((aten.mul.Tensor, aten.add.Tensor), affine, strict=True):
            if parameter is not None:
                flat = parameter
                if rank > 1:
                    flat = constant(node, attribute(parameter).reshape(size), "norm")
                result = insert(node, target, result, flat)
        replace(node, reshape(node, result, shape))
        rewrites += 1
    return rewrites
