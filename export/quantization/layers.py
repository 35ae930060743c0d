"""The layers of a quantised network, by the names of the module they come from.

A layer is what computes in integers and belongs to one submodule: a convolution with the clamp
behind it, the operators of an activation. An operator that a module with submodules computes
itself, as the sum of a residual block, is a layer of its own and has its number in the name.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping

from torch import fx

from export.graph.module_paths import find_module_path
from export.passes._editing import aten, is_call
from export.quantization.roles import KEPT_FLOAT, Role, operands, role
from export.quantization.scales import find_stored, stored_result
from pfd_models.errors import SpecError

__all__ = ["choose_layers", "keep_float", "module_path", "name_layers"]

_WITH_WEIGHTS = (aten.conv2d.default, aten.linear.default)


def name_layers(graph: fx.Graph) -> dict[str, list[fx.Node]]:
    """Return the operators of each layer, in the graph's order.

    Args:
        graph: Simplified, in float.
    """
    paths = {node: module_path(node) for node in graph.nodes if role(node) is Role.INTEGER}
    parents = {
        ".".join(parts[:length])
        for parts in (path.split(".") for path in paths.values())
        for length in range(len(parts))
    }
    layers: dict[str, list[fx.Node]] = {}
    for node, path in paths.items():
        name = path if path not in parents else ".".join(filter(None, (path, node.name)))
        layers.setdefault(name, []).append(node)
    return layers


def choose_layers(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Return the layers that are a wanted module or lie below one.

    Args:
        names: From `name_layers`.
        wanted: Names of modules or layers.

    Raises:
        SpecError: One is no module with a layer in it; the line names the nearest.
    """
    names = list(names)
    chosen: dict[str, None] = {}
    for each in wanted:
        found = [name for name in names if name == each or name.startswith(f"{each}.")]
        if not found:
            raise SpecError(_say_unknown(each, names))
        chosen.update(dict.fromkeys(found))
    return [name for name in names if name in chosen]


def keep_float(
    layers: Mapping[str, Collection[fx.Node]], chosen: Collection[str]
) -> tuple[str, ...]:
    """Mark the operators of the chosen layers as ones that compute in float.

    A sum, a product or a mean whose operands and result are all stored in 8 bits computes in
    integers in every runtime: a dequantise in front and a quantise behind are how the files spell
    an operator in integers. Such a one is not marked.

    Returns:
        The layers that are in float, wholly or in part.
    """
    marked = [node for name in chosen for node in layers[name]]
    for node in marked:
        node.meta[KEPT_FLOAT] = True
    again = marked
    while again and marked:  # one that is in integers again may leave others among integers
        stored = find_stored(marked[0].graph)
        again = [node for node in marked if _is_among_stored(node, stored)]
        for node in again:
            del node.meta[KEPT_FLOAT]
        marked = [node for node in marked if KEPT_FLOAT in node.meta]
    return tuple(name for name in chosen if any(KEPT_FLOAT in node.meta for node in layers[name]))


def _is_among_stored(node: fx.Node, stored: Collection[fx.Node]) -> bool:
    if is_call(node, *_WITH_WEIGHTS):
        return False
    return all(value in stored for value in (*operands(node), stored_result(node)))


def module_path(node: fx.Node) -> str:
    """Return the path of the submodule that a node computes for; empty for the network itself."""
    return find_module_path(node)


def _say_unknown(name: str, names: list[str]) -> str:
    known = {
        ".".join(parts[: length + 1]): None
        for parts in (each.split(".") for each in names)
        for length in range(len(parts))
    }
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4) or list(known)[:3]
    return (
        f"unknown layer {name!r}: did you mean {' or '.join(map(repr, near))}? "
        "python -m export.sensitivity lists all that compute in integers"
    )
