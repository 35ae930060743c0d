"""PReLU on anything but a 4-D map is spelt out; RReLU, whose slope is fixed, is a leaky ReLU.

Reason: XNNPACK's PReLU takes maps; ExecuTorch 1.5.1 hands it every rank and fails on the others
in its pass for the order of dimensions. RReLU it cannot lower.

Algebra: ``prelu(x) = relu(x) + w min(x, 0)`` with w per channel, the second dimension; one of the
two terms is zero. In evaluation RReLU's slope is the middle of its range. Bit-equal.
Source: Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852, equation 1.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, attribute, constant, insert, replace_calls, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _decompose, aten.prelu.default) + replace_calls(
        graph, _take_middle, aten.rrelu.default
    )


def _decompose(node: fx.Node, _: dict[str, Any]) -> fx.Node | None:
    x, weight = node.args
    assert isinstance(x, fx.Node)
    assert isinstance(weight, fx.Node)
    rank = value(x).dim()
    if rank == 4:
        return None
    shape = [value(weight).numel(), *[1] * max(0, rank - 2)]
    if weight.op == "get_attr":
        slope = constant(node, attribute(weight).reshape(shape), "slope")
    else:
        slope = reshape(node, weight, shape)
    negative = insert(node, aten.clamp.default, x, None, 0.0)
    scaled = insert(node, aten.mul.Tensor, negative, slope)
    return insert(node, aten.add.Tensor, insert(node, aten.relu.default, x), scaled)


def _take_middle(node: fx.Node, given: dict[str, Any]) -> fx.Node:
    middle = (float(given["lower"]) + float(given["upper"])) / 2
    return insert(node, aten.leaky_relu.default, given["self"], middle)
