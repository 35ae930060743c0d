"""ELU, and SELU and CELU with it, is spelt out.

Reason: XNNPACK has an ELU, but ExecuTorch 1.5.1 has its configuration commented out.

Algebra: ``elu(x) = scale (relu(x) + alpha (exp(input_scale min(x, 0)) - 1))``. PyTorch computes
``expm1``; the difference is below 1e-7 of alpha. Equal within 1e-6.
Source: Exponential Linear Units, https://arxiv.org/abs/1511.07289, equation 15.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, replace_calls

__all__ = ["rewrite"]

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""Source: Self-Normalizing Neural Networks, https://arxiv.org/abs/1706.02515, equation 14."""


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _decompose, aten.elu.default, aten.selu.default, aten.celu.default)


def _decompose(node: fx.Node, given: dict[str, Any]) -> fx.Node:
    x = given["self"]
    alpha, scale, input_scale = float(given.get("alpha", 1)), 1.0, 1.0
    if node.target is aten.selu.default:
        alpha, scale = _SELU_ALPHA, _SELU_SCALE
    elif node.target is aten.celu.default:
        input_scale = 1 / alpha
    else:
        scale, input_scale = float(given["scale"]), float(given["input_scale"])
    low = insert(node, aten.clamp.default, x, None, 0.0)
    if input_scale != 1:
        low = insert(node, aten.mul.Tensor, low, input_scale)
    low = insert(node, aten.sub.Tensor, insert(node, aten.exp.default, low), 1.0)
    if alpha != 1:
        low = insert(node, aten.mul.Tensor, low, alpha)
    result = insert(node, aten.add.Tensor, insert(node, aten.relu.default, x), low)
    if scale != 1:
        result = insert(node, aten.mul.Tensor, result, scale)
    return result
