"""A division by a number becomes a product with its inverse.

Reason: a product with a number can move into the next convolutions' weights (`push_factors`), and
where it cannot it is an 8-bit operator, which a division is not.

Algebra: ``x / c = x * (1 / c)``, which rounds differently in the last bit.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, insert, replace
from export.quantization.roles import is_number

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.div.Tensor):
        x, divisor = node.args
        if is_number(divisor) and divisor:
            replace(node, insert(node, aten.mul.Tensor, x, 1.0 / divisor))
            rewrites += 1
    return rewrites
