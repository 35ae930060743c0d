"""Names of an ONNX file's nodes and values after the modules that they come from.

``stem/first/conv/conv2d`` is what the call of ``conv2d`` in ``stem.first.conv`` returns; weights
keep the names of the state dict, dots and all. Slashes are what Model Explorer folds into boxes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

__all__ = ["name_by_module"]

# What PyTorch's exporter notes at each node: the modules around it, from the outermost to the
# call itself, by path and by class.
_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"

_OUR_WRAPPERS = "export.network."
_NUMBER = re.compile(r"_\d+$")
_OPERANDS = {1: "weight", 2: "bias"}
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def name_by_module(graph: GraphProto) -> None:
    """Rename nodes, their results and the weights that passes made; the borders keep their names.

    A node of which the exporter noted nothing keeps its name.
    """
    border = {value.name for values in (graph.input, graph.output) for value in values}
    stored = {tensor.name for tensor in graph.initializer}
    taken = border | stored
    names: dict[str, str] = {}
    for node in graph.node:
        path = _find_path(node)
        if path is None:
            continue
        *modules, call = path
        label = _NUMBER.sub("", call) or node.op_type.lower()
        node.name = _unused("/".join([*modules, label]), taken)
        for place, result in enumerate(node.output):
            if result and result not in border:
                names[result] = node.name if place == 0 else f"{node.name}:{place}"
        if node.op_type in _LAYERS and modules:
            names |= _name_operands(node, ".".join(modules), stored, taken)
    _rename(graph, names)


def _find_path(node: NodeProto) -> list[str] | None:
    """Return the names of the modules around a node and that of its call."""
    notes = {p.key: p.value for p in node.metadata_props}
    if _SCOPES not in notes:
        return None
    scopes = [str(scope) for scope in ast.literal_eval(notes[_SCOPES])]
    classes = [str(name) for name in ast.literal_eval(notes.get(_CLASSES, "[]"))]
    if not scopes:
        return None
    *outer, call = scopes
    path = outer[-1] if outer else ""
    return [*_strip_wrappers(path.split("."), classes), call] if path else [call]


def _strip_wrappers(path: list[str], classes: Sequence[str]) -> list[str]:
    """Leave out what this project put around the user's module."""
    wrappers = 0
    while wrappers < len(classes) and classes[wrappers].startswith(_OUR_WRAPPERS):
        wrappers += 1
    return path[wrappers:]


def _name_operands(
    node: NodeProto, path: str, stored: set[str], taken: set[str]
) -> dict[str, str]:
    """Name weights that a pass made after the layer, as the state dict would."""
    return {
        operand: _unused(f"{path}.{_OPERANDS[place]}", taken)
        for place, operand in enumerate(node.input)
        if place in _OPERANDS and operand in stored and "." not in operand
    }


def _unused(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
    for item in (*graph.initializer, *graph.value_info):
        item.name = names.get(item.name, item.name)
