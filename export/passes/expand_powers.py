"""Powers with a small exponent become products and roots.

Reason: XNNPACK takes a square only if its exponent is the integer 2, and no other power.

Algebra: ``x**2 = x x`` and ``x**3 = x x x`` as PyTorch computes them; ``x**0.5 = sqrt(x)``;
``x**-0.5 = rsqrt(x)``. Bit-equal except the last, which is equal within 1e-6.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, insert, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.pow.Tensor_Scalar, aten.square.default):
        x, exponent = node.args[0], node.args[1] if len(node.args) > 1 else 2
        assert isinstance(x, fx.Node)
        if not value(x).is_floating_point():
            continue
        if exponent in (2, 3):
            result = insert(node, aten.mul.Tensor, x, x)
            if exponent == 3:
                result = insert(node, aten.mul.Tensor, result, x)
        elif exponent == 0.5:
            result = insert(node, aten.sqrt.default, x)
        elif exponent == -0.5:
            result = insert(node, aten.rsqrt.default, x)
        else:
            continue
        replace(node, result)
        rewrites += 1
    return rewrites
