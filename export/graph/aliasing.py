"""Which values of a graph lie in the same memory, and which calls write into it."""

from __future__ import annotations

import operator

import torch
from torch import fx

__all__ = ["memory_owners", "mutates"]

# They may return their input itself although their schema does not say so.
_MAY_ALIAS = (
    torch.ops.aten.dropout.default,
    torch.ops.aten.feature_dropout.default,
    torch.ops.aten.alpha_dropout.default,
)


def mutates(node: fx.Node) -> bool:
    """Whether a call writes into one of its arguments."""
    return (
        node.op == "call_function"
        and isinstance(node.target, torch._ops.OpOverload)
        and node.target._schema.is_mutable
    )


def memory_owners(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Map each node to the node that made the memory its value lies in."""
    owner: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        owner[node] = node
        if node.op != "call_function" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        aliases = node.target is operator.getitem or node.target in _MAY_ALIAS
        if isinstance(node.target, torch._ops.OpOverload):
            aliases |= any(r.alias_info is not None for r in node.target._schema.returns)
        if aliases:
            owner[node] = owner[node.args[0]]
    return owner
