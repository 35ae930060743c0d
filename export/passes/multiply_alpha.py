"""``add``, ``sub`` and ``rsub`` with a factor, ``addcmul`` and ``addcdiv`` become plain arithmetic.

Reason: XNNPACK's partitioner takes the first with ``alpha = 1`` only; the others decompose into a
product with an integer, whose conversion stays outside the delegate (the response normalisation of
ConvNeXt V2).

Algebra: ``add(x, y, alpha=a) = x + a y``, ``rsub(x, y, alpha=a) = y - a x`` and
``addcmul(x, y, z, value=a) = x + a (y z)``; equal within 1e-6, for PyTorch may round once.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, replace_calls, value

__all__ = ["rewrite"]


_REVERSED = (aten.rsub.Scalar, aten.rsub.Tensor)
_JOINED = {aten.addcdiv.default: aten.div.Tensor, aten.addcmul.default: aten.mul.Tensor}


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(
        graph, _multiply, aten.add.Tensor, aten.sub.Tensor, *_REVERSED
    ) + replace_calls(graph, _join, *_JOINED)


def _multiply(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    if given["alpha"] == 1 or not value(node).is_floating_point():
        return None
    name = "self" if node.target in _REVERSED else "other"
    given[name] = _scale(node, given[name], float(given["alpha"]))
    return insert(node, node.target, given["self"], given["other"])


def _join(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    if not value(node).is_floating_point():
        return None
    form = _JOINED[node.target]  # type: ignore[index]  # it is one of the keys
    joined = insert(node, form, given["tensor1"], given["tensor2"])
    if given["value"] != 1:
        joined = _scale(node, joined, float(given["value"]))
    return insert(node, aten.add.Tensor, given["self"], joined)


def _scale(node: fx.Node, factor: Any, alpha: float) -> Any:
    if isinstance(factor, fx.Node):
        return insert(node, aten.mul.Tensor, factor, alpha)
    return factor * alpha
