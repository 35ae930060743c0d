"""Values that do not depend on the input are computed once, here, and stored.

Reason: a gathered position bias, an attention mask that is filled in place or a standardised
weight is the same for every input, yet leaves operators no delegate takes (``index``,
``slice_scatter``, ``arange``).

A constant that is a view of a larger tensor is stored as a tensor of its own: ExecuTorch writes
a constant's storage from its beginning, so the second half of a packed weight would become the
first.

Algebra: none. The same operators run in eager mode on the same values, so the result is
bit-equal. A parameter that is only expanded stays small: see `broadcast_expands`.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

from export.graph.aliasing import owns_memory
from export.passes._editing import aten, constant, is_call, replace, value

__all__ = ["rewrite"]

# Their values depend on the shape of the first argument only.
_SHAPE_ONLY = tuple(
    getattr(packet, overload)
    for packet in (
        aten.new_zeros, aten.new_ones, aten.new_full, aten.zeros_like, aten.ones_like,
        aten.full_like,
    )
    for overload in packet.overloads()
    if overload == "default"
)  # fmt: skip
_GROWING = (aten.expand.default, aten.repeat.default)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many values were folded."""
    known: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            known[node] = _attribute(graph, node)
        elif node.op == "call_function" and _is_foldable(node, known):
            known[node] = _evaluate(node, known)
    rewrites = 0
    for node in list(graph.nodes):
        tensor = known.get(node)
        if not isinstance(tensor, Tensor) or (node.op == "get_attr" and owns_memory(tensor)):
            continue
        if all(user in known for user in node.users):
            continue  # a step on the way to a value that is folded, or dead
        replace(node, constant(node, tensor, "folded"))
        rewrites += 1
    return rewrites


def _is_foldable(node: fx.Node, known: dict[fx.Node, Any]) -> bool:
    if is_call(node, *_SHAPE_ONLY):
        return True
    if isinstance(node.target, torch._ops.OpOverload):
        schema = node.target._schema
        if schema.is_mutable or torch.Tag.nondeterministic_seeded in node.target.tags:
            return False
        source = node.args[0] if node.args else None
        if is_call(node, *_GROWING) and isinstance(source, fx.Node):
            return source in known and value(node).numel() == value(source).numel()
    elif node.target is not operator.getitem:
        return False
    return all(source in known for source in node.all_input_nodes)


def _evaluate(node: fx.Node, known: dict[fx.Node, Any]) -> Any:
    def real(source: fx.Node) -> Any:
        if source in known:
            return known[source]
        fake = source.meta["val"]  # only its shape and dtype are read: see _SHAPE_ONLY
        return torch.empty(fake.shape, dtype=fake.dtype)

    args, kwargs = fx.node.map_arg((node.args, node.kwargs), real)
    with torch.no_grad():
        return node.target(*args, **kwargs)  # type: ignore[operator]  # call_function


def _attribute(graph: fx.Graph, node: fx.Node) -> Any:
    found: Any = graph.owning_module
    for part in str(node.target).split("."):
        found = getattr(found, part)
    return found.detach() if isinstance(found, Tensor) else None
