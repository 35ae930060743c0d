"""A clamp that meets values beyond its limits hands on a copy, the sum with zero.

Reason: a clamp behind an operator is the saturation of that operator's quantiser, so it holds only
where the scale covers no more than the clamp lets through. What is concatenated shares one scale:
beside a value that may be negative the saturation of a ReLU would not be at zero any more. The
clamp keeps a scale of its own, and the sum converts to the shared one.

Algebra: none but x = x + 0.
"""

from __future__ import annotations

import math

import torch
from torch import fx

from export.passes._editing import aten, constant, insert, value
from export.quantization.roles import Role, clamp_limits, role
from export.quantization.scales import list_groups

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many clamps were set apart."""
    apart = [
        node
        for group in list_groups(graph)
        for node in group
        if role(node) is Role.CLAMP and not all(_is_within(other, node) for other in group)
    ]
    for clamp in apart:
        movers = [reader for reader in clamp.users if role(reader) is Role.MOVE]
        zero = constant(movers[0], torch.zeros([1] * value(clamp).dim()), "number")
        copy = insert(movers[0], aten.add.Tensor, clamp, zero)
        for reader in movers:
            reader.replace_input_with(clamp, copy)
    return len(apart)


def _is_within(node: fx.Node, clamp: fx.Node) -> bool:
    """Whether a value that is stored with a clamp's scale keeps the clamp's limits."""
    if role(node) is Role.MOVE:
        return True  # it returns what others made
    low, high = _limits(node)
    least, most = _limits(clamp)
    return least <= low and high <= most


def _limits(node: fx.Node) -> tuple[float, float]:
    own = clamp_limits(node) if role(node) is Role.CLAMP else None
    return own or (-math.inf, math.inf)
