"""The tanh form of GELU is spelt out.

Reason: **a silent wrong result of ExecuTorch 1.5.1.** ``gelu(x, approximate="tanh")`` is
delegated to XNNPACK's exact GELU, off by up to 5e-4; the argument is ignored.

Algebra: ``x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))``. Equal within 1e-6.
Source: Gaussian Error Linear Units, https://arxiv.org/abs/1606.08415, section 2.
"""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from export.passes._editing import aten, insert, replace_calls

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _decompose, aten.gelu.default)


def _decompose(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    if given["approximate"] != "tanh":
        return None
    x = given["self"]
    square = insert(node, aten.mul.Tensor, x, x)
    cube = insert(node, aten.mul.Tensor, square, x)
    inner = insert(node, aten.add.Tensor, x, insert(node, aten.mul.Tensor, cube, 0.044715))
    scaled = insert(node, aten.mul.Tensor, inner, math.sqrt(2 / math.pi))
    gate = insert(node, aten.add.Tensor, insert(node, aten.tanh.default, scaled), 1.0)
    half = insert(node, aten.mul.Tensor, x, 0.5)
    return insert(node, aten.mul.Tensor, half, gate)
