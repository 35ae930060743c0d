"""Recognise activations that an exporter wrote as several nodes, before anything is lowered.

Erf has no TFLite operator and stands for nothing but the exact GELU in the models met; a
hard-swish in parts reads its map four times; a soft shrinkage by comparison leaves the delegate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from export.onnx_to_tflite.reader import Node, OnnxGraph

__all__ = ["join_activations"]


class _Nodes:
    """A network's nodes by what they make and who reads them."""

    def __init__(self, onnx_graph: OnnxGraph) -> None:
        self.onnx_graph = onnx_graph
        self.makers = {out: node for node in onnx_graph.nodes for out in node.outputs}
        self.readers: dict[str, list[Node]] = {}
        for node in onnx_graph.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def number(self, name: str) -> float | None:
        """Value of a constant with one element."""
        data = self.onnx_graph.constants.get(name)
        return None if data is None or data.size != 1 else float(data.reshape(()))

    def split(self, node: Node) -> tuple[str, float] | None:
        """The computed and the constant operand of an operator with one of each."""
        if len(node.inputs) != 2:
            return None
        left, right = node.inputs
        for value, other in ((left, right), (right, left)):
            number = self.number(other)
            if number is not None and self.number(value) is None:
                return value, number
        return None

    def only_reader(self, name: str) -> Node | None:
        """The one node that reads a value which is no output of the model."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.onnx_graph.outputs else None


def join_activations(onnx_graph: OnnxGraph) -> OnnxGraph:
    """Return the model with exact GELUs, hard-swishes and soft shrinkages as single nodes."""
    nodes = _Nodes(onnx_graph)
    joined: dict[str, Node] = {}
    for node in onnx_graph.nodes:
        found = None
        if node.op_type == "Erf":
            found = _gelu(nodes, node)
        elif node.op_type == "Clip":
            found = _hard_swish(nodes, node)
        elif node.op_type == "Where":
            found = _soft_shrink(nodes, node)
        if found is not None:
            joined[found.outputs[0]] = found
    if not joined:
        return onnx_graph
    replaced = [joined.get(node.outputs[0], node) for node in onnx_graph.nodes]
    return replace(onnx_graph, nodes=tuple(_live(replaced, onnx_graph.outputs)))


def _live(nodes: list[Node], outputs: tuple[str, ...]) -> Iterator[Node]:
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return reversed(kept)


def _gelu(nodes: _Nodes, erf: Node) -> Node | None:
    """0.5 x (1 + erf(x / sqrt(2))), its factors in any association."""
    scaled = nodes.makers.get(erf.inputs[0])
    if scaled is None or scaled.op_type not in ("Div", "Mul"):
        return None
    parts = nodes.split(scaled)
    if parts is None or (scaled.op_type == "Div" and scaled.inputs[0] != parts[0]):
        return None
    x, number = parts
    root_half = 1 / number if scaled.op_type == "Div" else number
    add = nodes.only_reader(erf.outputs[0])
    if add is None or add.op_type != "Add" or not np.isclose(root_half, 0.5**0.5, rtol=1e-5):
        return None
    one = nodes.split(add)
    if one is None or one[1] != 1.0:
        return None
    return _scaled_product(nodes, add.outputs[0], x, 0.5, "Gelu", {"approximate": "none"})


def _hard_swish(nodes: _Nodes, clip: Node) -> Node | None:
    """X clip(x + 3, 0, 6) / 6, its factors in any association."""
    add = nodes.makers.get(clip.inputs[0])
    if add is None or add.op_type != "Add":
        return None
    parts = nodes.split(add)
    limits = [nodes.number(clip.input(1)), nodes.number(clip.input(2))]
    if parts is None or parts[1] != 3.0 or limits != [0.0, 6.0]:
        return None
    return _scaled_product(nodes, clip.outputs[0], parts[0], 1 / 6, "HardSwish", {})


def _soft_shrink(nodes: _Nodes, where: Node) -> Node | None:
    """X - sign(x) limit where |x| > limit, elsewhere 0 x."""
    condition, outside, inside = (nodes.makers.get(name) for name in where.inputs)
    if condition is None or outside is None or inside is None:
        return None
    if (condition.op_type, outside.op_type, inside.op_type) != ("Greater", "Sub", "Mul"):
        return None
    x, moved = outside.inputs
    limit = nodes.number(condition.inputs[1])
    magnitude, product = nodes.makers.get(condition.inputs[0]), nodes.makers.get(moved)
    if limit is None or magnitude is None or product is None or product.op_type != "Mul":
        return None
    parts = nodes.split(product)
    sign = nodes.makers.get(parts[0]) if parts is not None else None
    if parts is None or parts[1] != limit or sign is None:
        return None
    if (magnitude.op_type, magnitude.inputs) != ("Abs", (x,)):
        return None
    if (sign.op_type, sign.inputs, nodes.split(inside)) != ("Sign", (x,), (x, 0.0)):
        return None
    attrs = {"lambd": limit, "bias": limit}
    return replace(where, op_type="Shrink", inputs=(x,), attrs=attrs)


def _scaled_product(
    nodes: _Nodes, start: str, x: str, factor: float, op_type: str, attrs: dict[str, object]
) -> Node | None:
    """Follow products from ``start`` until they are start * x * factor; None where they are not."""
    have_x, number, at = False, 1.0, start
    while True:
        node = nodes.only_reader(at)
        if node is None or node.op_type not in ("Mul", "Div") or len(node.inputs) != 2:
            return None
        if node.op_type == "Div" and node.inputs[0] != at:
            return None
        other = node.inputs[1] if node.inputs[0] == at else node.inputs[0]
        extra = _as_multiple(nodes, other, x)
        if extra is None:
            return None
        has_x, value = extra
        if has_x and (have_x or node.op_type == "Div"):
            return None
        have_x = have_x or has_x
        number *= 1 / value if node.op_type == "Div" else value
        at = node.outputs[0]
        if have_x and np.isclose(number, factor, rtol=1e-5):
            if nodes.onnx_graph.shapes[at] != nodes.onnx_graph.shapes[x]:
                return None
            return replace(node, op_type=op_type, inputs=(x,), outputs=(at,), attrs=attrs)


def _as_multiple(nodes: _Nodes, name: str, x: str) -> tuple[bool, float] | None:
    """Read a factor as (contains x, number): a constant, x itself, or x times a constant."""
    if name == x:
        return True, 1.0
    number = nodes.number(name)
    if number is not None:
        return (False, number) if number else None
    maker = nodes.makers.get(name)
    if maker is None or maker.op_type not in ("Mul", "Div"):
        return None
    parts = nodes.split(maker)
    if parts is None or parts[0] != x or not parts[1]:
        return None
    if maker.op_type == "Div":
        return (True, 1 / parts[1]) if maker.inputs[0] == x else None
    return True, parts[1]
