"""Softplus, and Mish and log-sigmoid with it, is spelt out in a form that cannot overflow.

Reason: XNNPACK has none of them.

Algebra: ``softplus(x) = relu(x) + log(1 + exp(-|x|))`` and ``mish(x) = x tanh(softplus(x))``;
``log_sigmoid(x) = -softplus(-x)``;
with a factor, ``softplus(x, beta) = softplus(beta x) / beta``. PyTorch returns x itself above its
threshold, which differs by less than exp(-20). Equal within 1e-6.
Source: Mish, https://arxiv.org/abs/1908.08681, equation 1.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, replace_calls

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(
        graph, _decompose, aten.softplus.default, aten.mish.default, aten.log_sigmoid.default
    )


def _decompose(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    x = given["self"]
    if node.target is aten.mish.default:
        gate = insert(node, aten.tanh.default, _softplus(node, x))
        result = insert(node, aten.mul.Tensor, x, gate)
    elif node.target is aten.log_sigmoid.default:
        negative = _softplus(node, insert(node, aten.neg.default, x))
        result = insert(node, aten.neg.default, negative)
    else:
        if float(given["threshold"]) < 20:
            return None  # the jump at a low threshold is visible
        beta = float(given["beta"])
        scaled = x if beta == 1 else insert(node, aten.mul.Tensor, x, beta)
        result = _softplus(node, scaled)
        if beta != 1:
            result = insert(node, aten.mul.Tensor, result, 1 / beta)
    return result


def _softplus(node: fx.Node, x: fx.Node) -> fx.Node:
    magnitude = insert(node, aten.neg.default, insert(node, aten.abs.default, x))
    tail = insert(node, aten.add.Tensor, insert(node, aten.exp.default, magnitude), 1.0)
    positive = insert(node, aten.relu.default, x)
    return insert(node, aten.add.Tensor, positive, insert(node, aten.log.default, tail))
