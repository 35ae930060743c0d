"""Names of an ONNX file's nodes and values after the modules that they come from.

``stem/first/conv/conv2d`` is what the call of ``conv2d`` in ``stem.first.conv`` returns; weights
keep the names of the state dict, dots and all. Slashes are what Model Explorer folds into boxes.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Mapping
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


def name_by_module(graph: GraphProto, results: Mapping[str, str]) -> None:
    """Rename nodes, their results and the weights that passes made; the borders keep their names.

    A node of which the exporter noted nothing keeps its name.

    Args:
        graph: As the exporter made it; edited.
        results: What the result of a call is called, by its name in the program; what the exporter
            made of a call besides is called after the module alone.
    """
    border = {value.name for values in (graph.input, graph.output) for value in values}
    stored = {tensor.name for tensor in graph.initializer}
    taken = border | stored | set(results.values())
    names = _shorten_stored(graph, taken)
    for node in graph.node:
        path = _find_path(node)
        if path is None:
            continue
        *modules, call = path[_count_wrappers(node) :]
        label = _NUMBER.sub("", call) or node.op_type.lower()
        result = next(iter(node.output), "")
        known = results.get(call if result in border else result)
        node.name = known or _unused("/".join([*modules, label]), taken)
        for place, result in enumerate(node.output):
            if result and result not in border:
                names[result] = node.name if place == 0 else f"{node.name}:{place}"
        if node.op_type in _LAYERS and modules:
            names |= _name_operands(node, ".".join(modules), stored, taken)
    _rename(graph, names)


def _read_note(node: NodeProto, key: str) -> list[str]:
    """Return a list that the exporter noted, empty where there is none."""
    text = next((p.value for p in node.metadata_props if p.key == key), "[]")
    return [str(part) for part in ast.literal_eval(text)]


def _find_path(node: NodeProto) -> list[str] | None:
    """Return the names of the modules around a node and that of its call."""
    scopes = _read_note(node, _SCOPES)
    if not scopes:
        return None
    *outer, call = scopes
    path = outer[-1] if outer else ""
    return [*path.split("."), call] if path else [call]


def _count_wrappers(node: NodeProto) -> int:
    """Return how many modules of this project are around the user's."""
    *classes, _ = _read_note(node, _CLASSES) or [""]
    ours = itertools.takewhile(lambda name: name.startswith(_OUR_WRAPPERS), classes)
    return min(len(list(ours)), len(classes) - 1) if classes else 0


def _shorten_stored(graph: GraphProto, taken: set[str]) -> dict[str, str]:
    """Take the names of this project's wrappers off those of the user's parameters."""
    names: dict[str, str] = {}
    for node in graph.node:
        wrappers, path = _count_wrappers(node), _find_path(node)
        if not wrappers or path is None:
            continue
        prefix = ".".join(path[:wrappers]) + "."
        for tensor in graph.initializer:
            if tensor.name.startswith(prefix):
                names[tensor.name] = _unused(tensor.name.removeprefix(prefix), taken)
        return names
    return names


def _name_operands(node: NodeProto, path: str, stored: set[str], taken: set[str]) -> dict[str, str]:
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
