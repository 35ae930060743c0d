"""Where in the user's module a node of a graph comes from, kept when the graph is traced again.

Tools that draw a file (Netron, Model Explorer) show names, and the only names that its author
knows are the module's own. `torch.export` notes them in ``nn_module_stack``; of a graph that was
rewritten and is exported again it knows one module, the graph itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a set that is unchanged is found without loading torch
    from torch import fx

__all__ = ["find_module_path", "keep_module_paths", "name_results"]

_STACK = "nn_module_stack"
_OUR_WRAPPERS = "export.network."
_NUMBER = re.compile(r"_\d+$")


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
        if source.meta.get(_STACK):
            node.meta[_STACK] = source.meta[_STACK]


def find_module_path(node: fx.Node) -> str:
    """Return the path of the user's submodule that a node computes for; empty for the whole.

    What this project puts around a module is left out of it.
    """
    stack = list((node.meta.get(_STACK) or {}).values())
    if not stack:
        return ""
    path = str(stack[-1][0]).split(".")
    wrappers = 0
    while wrappers < len(stack) - 1 and _OUR_WRAPPERS in str(stack[wrappers][1]):
        wrappers += 1
    return ".".join(path[wrappers:])


def name_results(graph: fx.Graph) -> dict[str, str]:
    """Return what the files call the result of each call, by the node's name.

    ``stem/first/conv/conv2d`` is what the call of ``conv2d`` in ``stem.first.conv`` returns.
    Slashes are what Model Explorer folds into boxes.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        place = find_module_path(node).replace(".", "/")
        label = "/".join(filter(None, (place, _NUMBER.sub("", node.name))))
        number, free = 1, label
        while free in taken:
            number += 1
            free = f"{label}_{number}"
        taken.add(free)
        names[node.name] = free
    return names
