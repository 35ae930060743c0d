"""Layer norm and RMS norm are spelt out, their means as products with a constant row.

Reason: XNNPACK has neither, and its mean reduces height and width of a 4-D tensor only.
ConvNeXt-Tiny falls into 25 delegates because of 23 layer norms. A product with a row of 1/D is a
fully connected layer with one output: it needs no transpose and delegates.

Algebra: with m = x r and v = (x - m)^2 r for r = (1/D, ..., 1/D),
``layer_norm(x) = (x - m) / sqrt(v + eps) * weight + bias``; ``rms_norm`` leaves m out. Equal
within 1e-5. Sources: Layer Normalization, https://arxiv.org/abs/1607.06450, equation 3; Root Mean
Square Layer Normalization, https://arxiv.org/abs/1910.07467, equation 4.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from export.passes._editing import aten, attribute, constant, insert, replace_calls, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many norms were changed."""
    return replace_calls(graph, _decompose, aten.layer_norm.default, aten.rms_norm.default)


def _decompose(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    affine = [given["weight"], given.get("bias")]
    if any(a is not None and a.op != "get_attr" for a in affine):
        return None
    return _normalise(node, given, affine)


def _normalise(node: fx.Node, given: dict[str, Any], affine: list[fx.Node | None]) -> fx.Node:
    source, rank = given["input"], len(given["normalized_shape"])
    shape, size = value(source).shape, math.prod(given["normalized_shape"])
    x = reshape(node, source, [*shape[: len(shape) - rank], size])
    ones = torch.ones(1, size, dtype=torch.float64)
    row = constant(node, ones / size, "mean_row", meets=x)
    if node.target is aten.layer_norm.default:
        x = insert(node, aten.sub.Tensor, x, insert(node, aten.linear.default, x, row))
    eps = torch.finfo(value(x).dtype).eps if given["eps"] is None else float(given["eps"])
    square = insert(node, aten.mul.Tensor, x, x)
    variance = insert(node, aten.linear.default, square, row)
    shifted = insert(node, aten.add.Tensor, variance, eps)
    result = insert(node, aten.mul.Tensor, x, insert(node, aten.rsqrt.default, shifted))
    for target, parameter in zip((aten.mul.Tensor, aten.add.Tensor), affine, strict=True):
        if parameter is not None:
            if rank > 1:
                parameter = constant(node, attribute(parameter).reshape(size), "norm")
            result = insert(node, target, result, parameter)
    return reshape(node, result, shape)
