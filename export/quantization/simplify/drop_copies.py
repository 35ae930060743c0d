"""A call that only puts elements into another order of memory is dropped.

Reason: ``x.transpose(1, 2).contiguous()``, as torchvision shuffles channels, has no
8-bit kernel, so each would leave the integers for a copy in float. Files hold no strides, and their
runtimes order memory as they like.

Algebra: none, bit-equal. ``view`` asks for an order and becomes ``reshape``, which does not. A copy
of what the caller feeds stays where it is returned: a file must not hand out its own input.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, insert, replace

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many copies were dropped."""
    copies = [
        node
        for node in calls(graph, aten.contiguous.default, aten.clone.default)
        if isinstance(source := node.args[0], fx.Node)
        and not (source.op in ("placeholder", "get_attr") and _is_returned(node))
    ]
    if copies:
        for node in calls(graph, aten.view.default):
            replace(node, insert(node, aten.reshape.default, *node.args))
    for node in copies:
        replace(node, node.all_input_nodes[0])
    return len(copies)


def _is_returned(node: fx.Node) -> bool:
    return any(user.op == "output" for user in node.users)
