"""Integer constants in float arithmetic become float constants.

Reason: ``x + 3`` with a float tensor stores an integer tensor and a conversion to float, and
the conversion stays outside the delegate.

Algebra: an integer below 2**24 in magnitude is the same number as a float; bit-equal. The
``.Scalar`` overloads become ``.Tensor`` ones, which is what the delegate knows.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, insert, replace, value

__all__ = ["rewrite"]

_TENSOR_FORM = {
    aten.add.Tensor: aten.add.Tensor,
    aten.sub.Tensor: aten.sub.Tensor,
    aten.mul.Tensor: aten.mul.Tensor,
    aten.div.Tensor: aten.div.Tensor,
    aten.rsub.Scalar: aten.rsub.Scalar,
    aten.add.Scalar: aten.add.Tensor,
    aten.sub.Scalar: aten.sub.Tensor,
    aten.mul.Scalar: aten.mul.Tensor,
    aten.div.Scalar: aten.div.Tensor,
}


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, *_TENSOR_FORM):
        if not all(value(n).is_floating_point() for n in (node, *node.all_input_nodes)):
            continue
        args = [_as_float(a) for a in node.args]
        form = _TENSOR_FORM[node.target]  # type: ignore[index]  # it is one of the keys
        if form is node.target and all(a is b for a, b in zip(args, node.args, strict=True)):
            continue
        replace(node, insert(node, form, *args, **node.kwargs))
        rewrites += 1
    return rewrites


def _as_float(argument: object) -> object:
    is_integer = isinstance(argument, int) and not isinstance(argument, bool)
    return float(argument) if is_integer and abs(argument) < 2**24 else argument  # type: ignore[arg-type, operator]
