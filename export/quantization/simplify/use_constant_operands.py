"""Numbers beside tensors become constant tensors, and what only sums and clamps becomes a sum.

Reason: a quantised sum or product takes two quantised operands, so a number must be a tensor, of
the other operand's rank: with another one ExecuTorch transposes it at run time, 70 times in
MobileNetV3. A clamp is free behind an operator that computes, whose quantiser saturates; any other
becomes the sum with zero, because the delegates have no 8-bit clamp alike.

Algebra: none but x - c = x + (-c) and clamp(x) = clamp(x + 0).
"""

from __future__ import annotations

import torch
from torch import fx

from export.passes._editing import arguments, aten, calls, constant, insert, replace, value
from export.quantization.roles import CLAMPS, Role, clamp_limits, is_free_clamp, is_number, role

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.sub.Tensor):
        given = arguments(node)
        if is_number(given["other"]) and given["alpha"] == 1:
            replace(node, insert(node, aten.add.Tensor, given["self"], -given["other"]))
            rewrites += 1
    for node in calls(graph, aten.add.Tensor, aten.mul.Tensor):
        if is_number(node.args[1]) and value(node).is_floating_point():
            rank = value(node).dim()
            number = torch.full([1] * rank, float(node.args[1]))
            node.update_arg(1, constant(node, number, "number"))
            rewrites += 1
    for node in calls(graph, *CLAMPS):
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if clamp_limits(node) is None or is_free_clamp(node) or role(source) is Role.FLOAT:
            continue
        zero = constant(node, torch.zeros([1] * value(node).dim()), "number")
        total = insert(node, aten.add.Tensor, source, zero)
        node.update_arg(0, total)
        rewrites += 1
    return rewrites
