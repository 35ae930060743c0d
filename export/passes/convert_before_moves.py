"""Whole numbers that become floats do so before they are moved, and at once where they are divided.

Reason: XNNPACK moves floats only. A camera's bytes that are permuted first and converted then
leave a walk over the image outside the delegate.

Algebra: which element goes where does not depend on its type; and arithmetic of whole numbers
that gives floats converts them first by itself. Bit-equal.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, calls, insert, is_call, replace_calls, value

__all__ = ["rewrite"]

_CONVERSIONS = (aten._to_copy.default, aten.to.dtype, aten.to.dtype_layout)
_ARITHMETIC = (aten.add.Tensor, aten.div.Tensor, aten.mul.Tensor, aten.sub.Tensor)
_MOVES = (
    aten.clone.default, aten.contiguous.default, aten.flatten.using_ints, aten.permute.default,
    aten.reshape.default, aten.squeeze.dim, aten.transpose.int, aten.unflatten.int,
    aten.unsqueeze.default, aten.view.default,
)  # fmt: skip


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many conversions were brought forward."""
    for node in calls(graph, *_ARITHMETIC):
        for source in node.all_input_nodes:
            if is_call(source, *_MOVES) and _becomes_float(source, node):
                converted = insert(node, aten.to.dtype, source, value(node).dtype)
                node.replace_input_with(source, converted)
    return replace_calls(graph, _convert_first, *_CONVERSIONS)


def _convert_first(node: fx.Node, given: dict[str, Any]) -> fx.Node | None:
    source = given["self"]
    is_moved = is_call(source, *_MOVES) and _becomes_float(source, node)
    return _move(node, source) if is_moved else None


def _becomes_float(before: fx.Node, after: fx.Node) -> bool:
    return not value(before).is_floating_point() and value(after).is_floating_point()


def _move(like: fx.Node, move: fx.Node) -> fx.Node:
    """Return what a chain of moves makes of the floats that its beginning becomes."""
    source = move.args[0]
    assert isinstance(source, fx.Node)
    if is_call(source, *_MOVES):
        floats = _move(like, source)
    else:
        floats = insert(like, aten.to.dtype, source, value(like).dtype)
    return insert(like, move.target, floats, *move.args[1:], **move.kwargs)
