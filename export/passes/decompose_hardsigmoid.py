"""Hard-sigmoid is spelt out with float constants.

Reason: XNNPACK has no hard-sigmoid. ExecuTorch decomposes it with the integers 3 and 6, whose
conversion to float stays outside the delegate, twice per squeeze-and-excite block.

Algebra: ``hardsigmoid(x) = clamp(x + 3.0, 0, 6) / 6.0``, bit-equal to PyTorch's (multiplying by
``1/6`` instead would not be). ONNX then shows Add, Clip and Div.
Source: Searching for MobileNetV3, https://arxiv.org/abs/1905.02244, section 5.2.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, replace_calls

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(graph, _decompose, aten.hardsigmoid.default)


def _decompose(node: fx.Node, _: dict[str, Any]) -> fx.Node:
    shifted = insert(node, aten.add.Tensor, node.args[0], 3.0)
    clamped = insert(node, aten.hardtanh.default, shifted, 0.0, 6.0)
    return insert(node, aten.div.Tensor, clamped, 6.0)
