"""Which values of a graph lie in the same memory, and which arguments a call writes into."""

from __future__ import annotations

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

__all__ = ["memory_owners", "mutates", "owns_memory", "written_arguments"]


def written_arguments(node: fx.Node) -> list[fx.Node]:
    """Return the arguments that a call writes into: its schema marks them."""
    if node.op != "call_function" or not isinstance(node.target, OpOverload):
        return []
    if node.target is torch.ops.aten.detach_.default:  # it writes no value
        return []
    schema = node.target._schema.arguments
    given = {**dict(zip((a.name for a in schema), node.args, strict=False)), **node.kwargs}
    marked = [a.name for a in schema if a.alias_info is not None and a.alias_info.is_write]
    found = tree_leaves([given[name] for name in marked if name in given])
    return [argument for argument in found if isinstance(argument, fx.Node)]


def mutates(node: fx.Node) -> bool:
    """Whether a call writes into one of its arguments."""
    return bool(written_arguments(node))


def memory_owners(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Map each node to the first node whose value lies in the same memory.

    The storages of the recorded values decide. A schema only says what a call may return:
    ``contiguous`` may return its argument itself, and copies it all the same where the order in
    memory is another.
    """
    owner: dict[fx.Node, fx.Node] = {}
    first: dict[int, fx.Node] = {}
    for node in graph.nodes:
        leaves = [v for v in tree_leaves(node.meta.get("val")) if isinstance(v, Tensor)]
        owner[node] = first.setdefault(leaves[0].untyped_storage()._cdata, node) if leaves else node
    return owner


def owns_memory(tensor: Tensor) -> bool:
    """Whether a tensor fills its storage from beginning to end, in the order of its dimensions."""
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return bool(whole and tensor.storage_offset() == 0 and tensor.is_contiguous())
