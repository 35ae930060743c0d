"""A call that only puts elements into another order of memory is dropped.

Reason: ``x.transpose(1, 2).contiguous()``, as torchvision shuffles channels, has no
8-bit kernel, so each would leave the integers for a copy in float. Files hold no strides, and their
runtimes order memory as they like.

Algebra: none, bit-equal. ``view`` asks for an order and becomes ``reshape``, which does not. A copy
of what the caller feeds stays where it is returned: a file must not hand out its own input.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, must_copy, replace_calls

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many copies were dropped."""
    dropped = replace_calls(graph, _source_of, aten.contiguous.default, aten.clone.default)
    if dropped:
        replace_calls(graph, _reshape, aten.view.default)
    return dropped


def _source_of(node: fx.Node, _: dict[str, Any]) -> fx.Node | None:
    (source,) = node.all_input_nodes
    return None if must_copy(node, source) else source


def _reshape(node: fx.Node, _: dict[str, Any]) -> fx.Node:
    return insert(node, aten.reshape.default, *node.args)
