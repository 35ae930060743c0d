"""Where in the user's module a node of a graph comes from, kept when the graph is traced again.

Tools that draw a file (Netron, Model Explorer) show names, and the only names that its author
knows are the module's own. `torch.export` notes them in ``nn_module_stack``; of a graph that was
rewritten and is exported again it knows one module, the graph itself.
"""

from __future__ import annotations

from torch import fx

__all__ = ["keep_module_paths"]

_STACK = "nn_module_stack"


def keep_module_paths(before: fx.Graph, after: fx.Graph) -> None:
    """Copy the place of each call from a graph to what the same graph became when traced.

    The calls of both are the same, in the same order. Where they are not, nothing is copied: a
    wrong name is worse than none.

    Args:
        before: As rewritten.
        after: As traced from it; edited.
    """
    old, new = ([n for n in graph.nodes if n.op == "call_function"] for graph in (before, after))
    if [n.target for n in old] != [n.target for n in new]:
        return
    for source, node in zip(old, new, strict=True):
        if _STACK in source.meta:
            node.meta[_STACK] = source.meta[_STACK]
