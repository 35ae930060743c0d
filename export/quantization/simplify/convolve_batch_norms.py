"""A batch norm that no convolution precedes goes into the unpadded ones behind it, or becomes one.

Reason: as a product and a sum it would round twice and read its map twice. ShuffleNetV2's
padding-free units and pre-activation residual networks have such norms.

Algebra: W (s x + t) + b = (W s) x + (W t + b) where no border is padded, since the padding would
have to be s 0 + t; otherwise a depthwise convolution of one tap, weight s and bias t.
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
    value,
)

__all__ = ["find_affine", "rewrite"]

_STATISTICS = ("weight", "bias", "running_mean", "running_var")


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many norms were changed."""
    rewrites = 0
    for norm in calls(graph, aten.batch_norm.default):
        if (affine := find_affine(norm)) is None:
            continue
        scale, shift = affine
        readers = list(norm.users)
        if readers and all(_can_take(reader, norm) for reader in readers):
            for reader in readers:
                _fold(reader, norm, scale, shift)
            norm.graph.erase_node(norm)
        else:
            _convolve(norm, scale, shift)
        rewrites += 1
    return rewrites


def find_affine(norm: fx.Node) -> tuple[Tensor, Tensor] | None:
    """Return scale and shift per channel of a batch norm of maps, float64; None where computed."""
    given: dict[str, Any] = arguments(norm)
    read = [given[name] for name in _STATISTICS]
    if value(norm).dim() != 4 or not all(n is None or n.op == "get_attr" for n in read):
        return None

    def exact(name: str, otherwise: float) -> Tensor:
        node = given[name]
        return torch.tensor(otherwise).double() if node is None else attribute(node).double()

    scale = exact("weight", 1.0) / (exact("running_var", 1.0) + given["eps"]).sqrt()
    return scale, exact("bias", 0.0) - exact("running_mean", 0.0) * scale


def _can_take(reader: fx.Node, norm: fx.Node) -> bool:
    if not is_call(reader, aten.conv2d.default) or reader.args[0] is not norm:
        return False
    given = arguments(reader)
    weight, bias = given["weight"], given["bias"]
    constants = weight.op == "get_attr" and (bias is None or bias.op == "get_attr")
    return constants and not any(given["padding"])


def _fold(reader: fx.Node, norm: fx.Node, scale: Tensor, shift: Tensor) -> None:
    given = arguments(reader)
    weight = attribute(given["weight"]).double()  # (out, in / groups, kh, kw)
    groups = given["groups"]
    per_group = weight.shape[0] // groups

    def of_weights(vector: Tensor) -> Tensor:  # (in) -> (out, in / groups, 1, 1)
        rows = vector.reshape(groups, 1, -1).expand(-1, per_group, -1)
        return rows.reshape(weight.shape[0], weight.shape[1], 1, 1)

    old = attribute(given["bias"]).double() if given["bias"] is not None else 0.0
    bias = old + (weight * of_weights(shift)).sum((1, 2, 3))
    new = {
        **given,
        "input": norm.args[0],
        "weight": constant(reader, (weight * of_weights(scale)).float(), "folded_weight"),
        "bias": constant(reader, bias.float(), "folded_bias"),
    }
    replace(reader, insert(reader, aten.conv2d.default, *new.values()))


def _convolve(norm: fx.Node, scale: Tensor, shift: Tensor) -> None:
    channels = value(norm).shape[1]
    taps = scale.float().expand(channels).reshape(-1, 1, 1, 1)
    weight = constant(norm, taps.contiguous(), "norm_weight")
    bias = constant(norm, shift.float().expand(channels).contiguous(), "norm_bias")
    window = [[1, 1], [0, 0], [1, 1]]
    replace(norm, insert(norm, aten.conv2d.default, norm.args[0], weight, bias, *window, channels))
