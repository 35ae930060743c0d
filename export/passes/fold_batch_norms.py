"""A batch norm right behind a convolution or a linear layer goes into its weights.

Reason: every format folds these norms by itself, ExecuTorch with many re-traces of the graph and
each in float32 arithmetic of its own. Folded once, all files hold the same weights.

Algebra: y = (W x + b - mean) * s + shift with s = weight / sqrt(var + eps) is W' x + b' with
W' = s W and b' = (b - mean) * s + shift, s per output channel. The new weights are computed in
float64 and rounded once; sums of rounded products differ from those of the original within
float32's own error.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from export.passes._editing import (
    arguments,
    aten,
    attribute,
    calls,
    constant,
    insert,
    is_call,
    replace,
)

__all__ = ["rewrite"]

_CONVOLUTIONS = (
    aten.conv1d.default, aten.conv2d.default, aten.conv3d.default,
    aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding,
)  # fmt: skip
_TRANSPOSED = (
    aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input,
)  # fmt: skip
_STATISTICS = ("weight", "bias", "running_mean", "running_var")


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many norms were folded."""
    rewrites = 0
    for norm in calls(graph, aten.batch_norm.default):
        layer = norm.args[0]
        if not is_call(layer, *_CONVOLUTIONS, *_TRANSPOSED, aten.linear.default):
            continue
        assert isinstance(layer, fx.Node)
        if len(layer.users) > 1 or not _is_constant(norm, layer):
            continue
        if layer.target is aten.linear.default and layer.meta["val"].dim() != 2:
            continue  # the norm is over the second dimension, the layer's channels are the last
        weight, bias = _fold(arguments(norm), arguments(layer), layer.target in _TRANSPOSED)
        new = {
            **arguments(layer),
            "weight": constant(norm, weight, "folded_weight"),
            "bias": constant(norm, bias, "folded_bias"),
        }
        folded = insert(norm, layer.target, *new.values())
        folded.meta["nn_module_stack"] = layer.meta.get("nn_module_stack")  # it is the layer still
        replace(norm, folded)
        rewrites += 1
    return rewrites


def _is_constant(norm: fx.Node, layer: fx.Node) -> bool:
    """Whether the norm uses stored statistics, and these and the layer's weights are constants."""
    given, own = arguments(norm), arguments(layer)
    if given["training"] or given["running_mean"] is None:
        return False
    read = [*(given[name] for name in _STATISTICS), own["weight"], own["bias"]]
    return all(node is None or node.op == "get_attr" for node in read)


def _fold(norm: dict[str, Any], layer: dict[str, Any], transposed: bool) -> tuple[Tensor, Tensor]:
    """Return the layer's new weight and bias, of the weight's dtype."""

    def exact(node: fx.Node | None, otherwise: float) -> Tensor:
        if node is None:
            return torch.tensor(otherwise, dtype=torch.float64)
        return attribute(node).double()

    mean, variance = exact(norm["running_mean"], 0.0), exact(norm["running_var"], 1.0)
    scale = exact(norm["weight"], 1.0) / (variance + norm["eps"]).sqrt()
    bias = (exact(layer["bias"], 0.0) - mean) * scale + exact(norm["bias"], 0.0)
    weight = attribute(layer["weight"])
    if transposed:  # (in, out / groups, ...): the groups share out the first dimension
        groups, per_group = layer["groups"], weight.shape[1]
        parts = weight.double().unflatten(0, (groups, -1))
        rest = [1] * (weight.dim() - 2)
        folded = (parts * scale.reshape(groups, 1, per_group, *rest)).flatten(0, 1)
    else:  # (out, ...)
        folded = weight.double() * scale.reshape(-1, *[1] * (weight.dim() - 1))
    return folded.to(weight.dtype), bias.to(weight.dtype)
