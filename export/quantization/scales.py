"""Which values are quantised, and with what scale and zero point.

Values that only move share one scale with what they are moved from and to, so that no delegate
ever has to convert between two tensors that meet (a union-find over the graph). Every scale is a
float32 number: the files and the kernels hold nothing finer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from export.passes._editing import aten, attribute, value
from export.quantization.roles import Role, operands, role

__all__ = [
    "QMAX",
    "QMIN",
    "Affine",
    "Range",
    "choose_scales",
    "constant_affine",
    "cover",
    "fake_quantize",
    "find_stored",
    "list_groups",
    "stored_result",
    "weight_scales",
]

QMIN, QMAX = -128, 127
"""Of activations; weights are symmetric, -127 to 127."""

LEAST_SCALE = 2.0**-24
"""Of a value that is always zero: any scale is right, and kernels refuse subnormal ones."""

MOST_BIAS = 2**21
"""Largest bias in units of its scale: what float32 holds and ExecuTorch rounds back exactly."""

LEAST_RATIO, MOST_RATIO = 2.0**-10, 2.0**8
"""Between these must the scale of an operand lie, divided by that of the result, or XNNPACK refuses
the sum; products and convolutions allow more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """A value v is stored as the integer round(v / scale) + zero_point, -128 to 127."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The least and the largest number that a value had."""

    low: float
    high: float

    def join(self, other: Range) -> Range:
        """Return the range of both."""
        return Range(low=min(self.low, other.low), high=max(self.high, other.high))


def choose_scales(graph: fx.Graph, ranges: Mapping[fx.Node, Range]) -> dict[fx.Node, Affine]:
    """Return scale and zero point of each value that is stored in 8 bits.

    Args:
        graph: Simplified.
        ranges: Of each value, as calibration saw them.
    """
    groups, wanted = _group(graph)
    joined: dict[fx.Node, Range] = {}
    for node in graph.nodes:
        root = groups.find(node)
        if root in wanted and node in ranges and _is_stored(node):
            joined[root] = joined[root].join(ranges[node]) if root in joined else ranges[node]
    of_root = {root: cover(found) for root, found in joined.items()}
    _fit_ratios(graph, groups, of_root)
    return {
        node: of_root[groups.find(node)]
        for node in graph.nodes
        if groups.find(node) in of_root and _is_stored(node) and role(node) is not Role.CONSTANT
    }


def find_stored(graph: fx.Graph) -> set[fx.Node]:
    """Return the values that are stored in 8 bits, which hangs on who makes and who reads them."""
    groups, wanted = _group(graph)
    return {node for node in graph.nodes if groups.find(node) in wanted and _is_stored(node)}


def list_groups(graph: fx.Graph) -> list[list[fx.Node]]:
    """Return the values that share a scale, group by group; those that are not stored are in none.

    Args:
        graph: Simplified.
    """
    groups, wanted = _group(graph)
    members: dict[fx.Node, list[fx.Node]] = {}
    for node in graph.nodes:
        root = groups.find(node)
        if root in wanted and _is_stored(node) and role(node) is not Role.CONSTANT:
            members.setdefault(root, []).append(node)
    return list(members.values())


def _group(graph: fx.Graph) -> tuple[_Groups, set[fx.Node]]:
    """Return which values share a scale, and the representatives of the groups that need one."""
    groups = _Groups()
    integer: set[fx.Node] = set()
    for node in graph.nodes:
        kind = role(node)
        if kind is Role.MOVE:
            for operand in operands(node):
                groups.join(operand, node)
        elif kind is Role.INTEGER:
            integer.update(operands(node))
            integer.add(stored_result(node))
    return groups, {groups.find(node) for node in integer}


def weight_scales(weight: Tensor, bias: Tensor | None, input_scale: float | Tensor) -> Tensor:
    """Return a scale per output channel of a weight, float32.

    Symmetric, so that the largest weight is 127. A channel of tiny weights and a large bias gets a
    larger scale, since the bias is stored in units of both scales.
    """
    rows = weight.reshape(weight.shape[0], -1).abs().amax(1).double() / QMAX
    least = torch.full_like(rows, LEAST_SCALE)
    if bias is not None:
        least = torch.maximum(least, bias.double().abs() / (input_scale * MOST_BIAS))
    return torch.maximum(rows, least).float()


def fake_quantize(tensor: Tensor, affine: Affine) -> Tensor:
    """Return what is left of a float tensor after storing it in 8 bits."""
    stored = torch.round(tensor * (1.0 / affine.scale)) + affine.zero_point
    return (stored.clamp(QMIN, QMAX) - affine.zero_point) * affine.scale


def constant_affine(node: fx.Node, constant: Tensor, affines: Mapping[fx.Node, Affine]) -> Affine:
    """Return scale and zero point of a constant operand.

    Args:
        node: The sum or product that reads it.
        constant: Its value.
        affines: From `choose_scales`.
    """
    affine = cover(Range(low=float(constant.min()), high=float(constant.max())))
    least = 2 * LEAST_RATIO * affines[stored_result(node)].scale
    return affine if affine.scale >= least else _widen(affine, least / affine.scale)


def cover(found: Range) -> Affine:
    """Cover a range and zero, which must be exact: padding is made of zeros."""
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    scale = float(np.float32(max((high - low) / (QMAX - QMIN), LEAST_SCALE)))
    zero_point = int(np.clip(round(QMIN - low / scale), QMIN, QMAX))
    return Affine(scale=scale, zero_point=zero_point)


def stored_result(node: fx.Node) -> fx.Node:
    """Return the value that is stored: that behind a clamp, where one follows."""
    reader = next(iter(node.users), None)
    return reader if reader is not None and role(reader) is Role.CLAMP else node


def _is_stored(node: fx.Node) -> bool:
    """Whether a value is stored at all: not one that a clamp behind it takes over."""
    return (
        hasattr(node.meta.get("val"), "dtype")
        and value(node).is_floating_point()
        and stored_result(node) is node
    )


def _fit_ratios(graph: fx.Graph, groups: _Groups, of_root: dict[fx.Node, Affine]) -> None:
    """Widen the scales whose ratio no kernel takes, of sums and means; rarely one."""
    for node in graph.nodes:
        if role(node) is not Role.INTEGER or node.target not in (aten.add.Tensor, aten.mean.dim):
            continue
        result = groups.find(stored_result(node))
        for constant in (n for n in node.all_input_nodes if role(n) is Role.CONSTANT):
            tensor = attribute(constant)
            own = cover(Range(low=float(tensor.min()), high=float(tensor.max())))
            if (ratio := own.scale / of_root[result].scale) >= MOST_RATIO:
                of_root[result] = _widen(of_root[result], 2 * ratio / MOST_RATIO)
        for operand in operands(node):
            root = groups.find(operand)
            ratio = of_root[root].scale / of_root[result].scale
            if ratio >= MOST_RATIO:
                of_root[result] = _widen(of_root[result], 2 * ratio / MOST_RATIO)
            elif ratio < LEAST_RATIO:
                of_root[root] = _widen(of_root[root], 2 * LEAST_RATIO / ratio)


def _widen(affine: Affine, factor: float) -> Affine:
    scale = float(np.float32(affine.scale * factor))
    low = (QMIN - affine.zero_point) * affine.scale
    return Affine(scale=scale, zero_point=int(np.clip(round(QMIN - low / scale), QMIN, QMAX)))


class _Groups:
    """Values that share one scale."""

    def __init__(self) -> None:
        self._parent: dict[fx.Node, fx.Node] = {}

    def find(self, node: fx.Node) -> fx.Node:
        """Return the representative of a value's group."""
        while (parent := self._parent.get(node, node)) is not node:
            self._parent[node] = self._parent.get(parent, parent)
            node = parent
        return node

    def join(self, one: fx.Node, other: fx.Node) -> None:
        """Let two values share a scale."""
        self._parent[self.find(other)] = self.find(one)
