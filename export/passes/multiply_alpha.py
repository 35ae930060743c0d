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

from export.passes._editing import arguments, aten, calls, insert, replace, value

__all__ = ["rewrite"]


_REVERSED = (aten.rsub.Scalar, aten.rsub.Tensor)
_JOINED = {aten.addcdiv.default: aten.div.Tensor, aten.addcmul.default: aten.mul.Tensor}


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.add.Tensor, aten.sub.Tensor, *_REVERSED):
        given = arguments(node)
        if given["alpha"] == 1 or not value(node).is_floating_point():
            continue
        name = "self" if node.target in _REVERSED else "other"
        given[name] = _scale(node, given[name], float(given["alpha"]))
        replace(node, insert(node, node.target, given["self"], given["other"]))
        rewrites += 1
    for node in calls(graph, *_JOINED):
        if not value(node).is_floating_point():
            continue
        given = arguments(node)
        form = _JOINED[node.target]  # type: ignore[index]  # it is one of the keys
        joined = insert(node, form, given["tensor1"], given["tensor2"])
        if given["value"] != 1:
            joined = _scale(node, joined, float(given["value"]))
        replace(node, insert(node, aten.add.Tensor, given["self"], joined))
        rewrites += 1
    return rewrites


def _scale(node: fx.Node, factor: Any, alpha: float) -> Any:
    if isinstance(factor, fx.Node):
        return insert(node, aten.mul.Tensor, factor, alpha)
    return factor * alpha
