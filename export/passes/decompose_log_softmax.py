"""Log-softmax is spelt out in its stable form.

Reason: XNNPACK has none. (The pool, the product and the flat softmax that the pieces become are
the work of the passes behind this one.)

Algebra: with s = x - max(x), ``log_softmax(x) = s - log(sum(exp(s)))``. Equal within 1e-6.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import arguments, aten, calls, insert, normal_dim, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.log_softmax.int, aten._log_softmax.default):
        x, given = node.args[0], arguments(node)
        assert isinstance(x, fx.Node)
        if given.get("dtype") is not None or value(x).dim() < 2:
            continue
        dims = [normal_dim(given["dim"], value(x).dim())]
        shifted = insert(node, aten.sub.Tensor, x, insert(node, aten.amax.default, x, dims, True))
        exponentials = insert(node, aten.exp.default, shifted)
        total = insert(node, aten.sum.dim_IntList, exponentials, dims, True)
        replace(node, insert(node, aten.sub.Tensor, shifted, insert(node, aten.log.default, total)))
        rewrites += 1
    return rewrites
