"""A clamp that meets values beyond its limits hands on a copy, the sum with zero.

Reason: a clamp behind an operator is the saturation of that operator's quantiser, so it holds only
where the scale covers no more than the clamp lets through. What is concatenated shares one scale:
beside a value that may be negative the saturation of a ReLU would not be at zero any more. The
clamp keeps a scale of its own, and the sum converts to the shared one.

Algebra: none but x = x + 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

import torch
from torch import fx

from export.passes._editing import arguments, aten, attribute, constant, insert, is_call, value
from export.quantization.roles import Role, clamp_limits, operands, role
from export.quantization.scales import list_groups

__all__ = ["rewrite"]

_Limits: TypeAlias = tuple[float, float]
_ANY: _Limits = (-math.inf, math.inf)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many clamps were set apart."""
    limits = _find_limits(graph)
    apart = [
        node
        for group in list_groups(graph)
        for node in group
        if role(node) is Role.CLAMP
        and not _is_inside(_join(limits[n] for n in group), limits[node])
    ]
    for clamp in apart:
        movers = [n for n in graph.nodes if n in clamp.users and role(n) is Role.MOVE]
        zero = constant(movers[0], torch.zeros([1] * value(clamp).dim()), "number")
        copy = insert(movers[0], aten.add.Tensor, clamp, zero)
        for reader in movers:
            reader.replace_input_with(clamp, copy)
    return len(apart)


def _find_limits(graph: fx.Graph) -> dict[fx.Node, _Limits]:
    """Return between which numbers each value is, as far as clamps say it."""
    limits: dict[fx.Node, _Limits] = {}
    for node in graph.nodes:
        kind = role(node)
        limits[node] = _ANY
        if kind is Role.CLAMP:
            limits[node] = clamp_limits(node) or _ANY
        elif kind is Role.MOVE or is_call(node, aten.mean.dim) or _is_average(node):
            limits[node] = _join(limits[operand] for operand in operands(node))
    return limits


def _is_average(node: fx.Node) -> bool:
    """Whether a convolution returns nothing beyond what it reads and zero."""
    if not is_call(node, aten.conv2d.default) or role(node) is not Role.INTEGER:
        return False
    given = arguments(node)
    weight, bias = attribute(given["weight"]), given["bias"]
    is_convex = bool(weight.min() >= 0) and bool(weight.flatten(1).sum(1).max() < 1 + 1e-5)
    return is_convex and (bias is None or not attribute(bias).any())


def _join(found: Iterable[_Limits]) -> _Limits:
    low, high = zip(*found, strict=True)
    return min(0.0, *low), max(0.0, *high)


def _is_inside(inner: _Limits, outer: _Limits) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
