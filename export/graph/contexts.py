"""Regions under a context manager that changes no result become part of the graph around them.

``torch.no_grad``, ``enable_grad`` and ``autocast(enabled=False)`` in a user's ``forward`` are
captured as calls of a subgraph. Where nothing asks for gradients and every value is a float32 on
the CPU, they compute what the subgraph says.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import TensorArgument

__all__ = ["inline_contexts"]

_BODY = {
    torch.ops.higher_order.wrap_with_set_grad_enabled: 1,  # (enabled, body, *inputs)
    torch.ops.higher_order.wrap_with_autocast: 4,  # (device, dtype, enabled, cache, body, *inputs)
}
"""The contexts, and which argument is the region."""


def inline_contexts(exported: ExportedProgram) -> int:
    """Inline the regions of contexts that change no result; the program is edited in place.

    ``autocast`` that is switched on for the CPU stays: it computes in another precision.

    Returns:
        How many regions were inlined.
    """
    graph_module = exported.graph_module
    count = _inline(graph_module)
    if count:
        graph_module.recompile()
        results = next(n for n in exported.graph.nodes if n.op == "output").args[0]
        for spec, result in zip(exported.graph_signature.output_specs, results, strict=True):
            if isinstance(spec.arg, TensorArgument):
                spec.arg.name = result.name
    return count


def _inline(owner: fx.GraphModule) -> int:
    count = 0
    for node in list(owner.graph.nodes):
        if node.op != "call_function" or node.target not in _BODY or not _keeps_results(node):
            continue
        at = _BODY[node.target]
        reference = node.args[at]
        body: Any = getattr(owner, reference.target)
        count += 1 + _inline(body)  # contexts inside it first: its copy finds no subgraphs
        _copy_body(owner.graph, node, body.graph, node.args[at + 1 :])
        if not reference.users:
            owner.graph.erase_node(reference)
            delattr(owner, reference.target)
    return count


def _keeps_results(node: fx.Node) -> bool:
    """Whether the context computes what its region computes by itself, on the CPU."""
    if node.target is not torch.ops.higher_order.wrap_with_autocast:
        return True
    device, _, enabled, *_ = node.args
    return enabled is False or str(device) != "cpu"


def _copy_body(graph: fx.Graph, call: fx.Node, body: fx.Graph, inputs: tuple[Any, ...]) -> None:
    """Copy the region in front of its call, and let what reads the call read the copies."""
    placeholders = [node for node in body.nodes if node.op == "placeholder"]
    copies: dict[fx.Node, Any] = dict(zip(placeholders, inputs, strict=True))
    with graph.inserting_before(call):
        results = graph.graph_copy(body, copies)
    for user in list(call.users):
        assert user.target is operator.getitem  # a region returns a tuple
        user.replace_all_uses_with(results[user.args[1]])  # type: ignore[index, arg-type]  # it
        graph.erase_node(user)
    graph.erase_node(call)
