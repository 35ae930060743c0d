"""Group norm and instance norm are spelt out, their means as global average pools.

Reason: XNNPACK has neither. With the elements of a group laid out as height, the mean over a
group is the one mean it does take, over height and width of a 4-D tensor.

Algebra: x is reshaped to (N, groups, elements, 1); with m its mean over the last two dimensions
and v that of (x - m)^2, the result is ``(x - m) / sqrt(v + eps) * weight + bias``, weight and
bias per channel. Instance norm has a group per channel. Equal within 1e-5.
Source: Group Normalization, https://arxiv.org/abs/1803.08494, equations 1 and 6.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, attribute, constant, insert, replace_calls, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many norms were changed."""
    return replace_calls(graph, _decompose, aten.group_norm.default, aten.instance_norm.default)


def _decompose(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    if given.get("use_input_stats", True) is False or any(
        given[name] is not None and given[name].op != "get_attr" for name in ("weight", "bias")
    ):
        return None
    return _normalise(node, given)


def _normalise(node: fx.Node, given: dict[str, Any]) -> fx.Node:
    source = given["input"]
    shape = value(source).shape
    groups = given.get("num_groups", shape[1])
    x = source
    if groups != shape[1] or len(shape) != 4:
        x = reshape(node, source, [shape[0], groups, shape[1:].numel() // groups, 1])
    mean = insert(node, aten.mean.dim, x, [2, 3], True)
    centred = insert(node, aten.sub.Tensor, x, mean)
    square = insert(node, aten.mul.Tensor, centred, centred)
    variance = insert(node, aten.mean.dim, square, [2, 3], True)
    shifted = insert(node, aten.add.Tensor, variance, float(given["eps"]))
    scale = insert(node, aten.rsqrt.default, shifted)
    result = reshape(node, insert(node, aten.mul.Tensor, centred, scale), shape)
    for target, name in ((aten.mul.Tensor, "weight"), (aten.add.Tensor, "bias")):
        if given[name] is not None:
            per_channel = attribute(given[name]).reshape(-1, *[1] * (len(shape) - 2))
            result = insert(node, target, result, constant(node, per_channel, "norm"))
    return result
