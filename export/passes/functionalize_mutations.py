"""In-place calls become calls that return their result.

Reason: ExecuTorch and ONNX both want a functional graph and otherwise re-trace it to get one;
and the other passes may then move values freely.

Algebra: none. ``relu_(x)`` becomes ``y = relu(x)`` and every later use of ``x`` reads ``y``.
That is right as long as no other view of x's memory made before the call is read after it;
where one is, the call stays as it is and the caller falls back to PyTorch's own
functionalisation.
"""

from __future__ import annotations

import torch
from torch import fx

from export.graph.aliasing import memory_owners, mutates, written_arguments
from export.passes._editing import insert

__all__ = ["has_mutations", "rewrite"]


def has_mutations(graph: fx.Graph) -> bool:
    """Whether a call in the graph still writes into one of its arguments."""
    return any(mutates(node) for node in graph.nodes)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    memory = memory_owners(graph)
    rewrites = 0
    for node in list(graph.nodes):
        if not mutates(node):
            continue
        target, all_written = _functional_form(node), written_arguments(node)
        if target is None or all_written != [node.args[0]]:
            continue
        written = all_written[0]
        sharing = [other for other, owner in memory.items() if owner is memory[written]]
        before = (o for o in sharing if order[o] < order[node] and o is not written)
        if any(order[user] > order[node] for other in before for user in other.users):
            continue
        new = insert(node, target, *node.args, **node.kwargs)
        order[new], memory[new] = order[node], new
        memory.update({other: new for other in sharing if order[other] > order[node]})
        for user in list(written.users):
            if order[user] > order[node]:
                user.replace_input_with(written, new)
        node.replace_all_uses_with(new)
        graph.erase_node(node)
        del memory[node]
        rewrites += 1
    return rewrites


def _functional_form(node: fx.Node) -> torch._ops.OpOverload | None:
    """Return ``aten.relu.default`` for a call of ``aten.relu_.default``."""
    assert isinstance(node.target, torch._ops.OpOverload)
    namespace, _, name = node.target._schema.name.partition("::")
    if not name.endswith("_") or namespace != "aten":
        return None
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
    form = getattr(packet, node.target._overloadname, None)
    return form if isinstance(form, torch._ops.OpOverload) else None
