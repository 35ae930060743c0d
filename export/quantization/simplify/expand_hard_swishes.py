"""Hard-swish is spelt out, with its sixth left to the layers behind it.

Reason: no delegate has an 8-bit hard-swish; LiteRT's falls out of the delegate at each of
MobileNetV3's 21. As a sum whose clamp is the quantiser's own saturation and a product it is two
integer operators, and `push_factors` hides the sixth in the next convolution's weights.

Algebra: ``hardswish(x) = (x * clamp(x + 3, 0, 6)) * (1 / 6)``; a division by a number becomes the
product with its inverse, which rounds differently in the last bit.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, insert, replace

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.hardswish.default):
        x = node.args[0]
        shifted = insert(node, aten.add.Tensor, x, 3.0)
        gate = insert(node, aten.hardtanh.default, shifted, 0.0, 6.0)
        product = insert(node, aten.mul.Tensor, x, gate)
        replace(node, insert(node, aten.mul.Tensor, product, 1.0 / 6.0))
        rewrites += 1
    for node in calls(graph, aten.div.Tensor):
        x, divisor = node.args
        if isinstance(divisor, int | float) and divisor:
            replace(node, insert(node, aten.mul.Tensor, x, 1.0 / divisor))
            rewrites += 1
    return rewrites
