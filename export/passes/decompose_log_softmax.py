"""Log-softmax and log-sum-exp are spelt out in their stable form.

Reason: XNNPACK has neither. (The pool, the product and the flat softmax that the pieces become are
the work of the passes behind this one.)

Algebra: with m = max(x) and s = x - m, ``logsumexp(x) = m + log(sum(exp(s)))`` and
``log_softmax(x) = s - log(sum(exp(s)))``, for finite values. Equal within 1e-6.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, normal_dim, replace_calls, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(
        graph, _subtract_sum, aten.log_softmax.int, aten._log_softmax.default
    ) + replace_calls(graph, _add_maximum, aten.logsumexp.default)


def _subtract_sum(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    x = given["self"]
    if given.get("dtype") is not None or value(x).dim() < 2:
        return None
    _, shifted, total = _stable_sum(node, x, [given["dim"]])
    return insert(node, aten.sub.Tensor, shifted, total)


def _add_maximum(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    x, dims = given["self"], given["dim"]
    if value(x).dim() < 2 or not dims or not value(x).is_floating_point():
        return None
    top, _, total = _stable_sum(node, x, dims)
    return reshape(node, insert(node, aten.add.Tensor, top, total), value(node).shape)


def _stable_sum(node: fx.Node, x: fx.Node, dims: Any) -> tuple[fx.Node, fx.Node, fx.Node]:
    """Return the maximum, the distance from it, and the log of the sum of its exponentials."""
    over = [normal_dim(d, value(x).dim()) for d in dims]
    top = insert(node, aten.amax.default, x, over, True)
    shifted = insert(node, aten.sub.Tensor, x, top)
    exponentials = insert(node, aten.exp.default, shifted)
    total = insert(node, aten.sum.dim_IntList, exponentials, over, True)
    return top, shifted, insert(node, aten.log.default, total)
