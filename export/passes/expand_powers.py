"""Powers with a small exponent become products and roots.

Reason: XNNPACK takes a square only if its exponent is the integer 2, and no other power.

Algebra: ``x**2 = x x``, ``x**3 = x x x``, ``x**4 = (x x)(x x)``, ``x**0.5 = sqrt(x)``,
``x**-0.5 = rsqrt(x)`` and ``x**-1 = 1 / x``. Squares, cubes, roots and reciprocals are bit-equal,
the others equal within 1e-6.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from export.passes._editing import aten, calls, constant, insert, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, *_EXPONENT):
        x = node.args[0]
        assert isinstance(x, fx.Node)
        exponent = node.args[1] if len(node.args) > 1 else _EXPONENT[node.target]
        if value(x).is_floating_point() and (result := _power(node, x, exponent)) is not None:
            replace(node, result)
            rewrites += 1
    return rewrites


_EXPONENT: dict[Any, float | None] = {
    aten.pow.Tensor_Scalar: None,  # its second argument
    aten.square.default: 2,
    aten.reciprocal.default: -1,
}


def _power(node: fx.Node, x: fx.Node, exponent: object) -> fx.Node | None:
    if exponent in (2, 3, 4):
        square = insert(node, aten.mul.Tensor, x, x)
        if exponent == 2:
            return square
        return insert(node, aten.mul.Tensor, square, x if exponent == 3 else square)
    if exponent == 0.5:
        return insert(node, aten.sqrt.default, x)
    if exponent == -0.5:
        return insert(node, aten.rsqrt.default, x)
    if exponent == -1:
        return insert(node, aten.div.Tensor, constant(node, torch.ones(1), "one", meets=x), x)
    return None
