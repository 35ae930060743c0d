"""A product with a number moves forward into the weights of the convolutions that read it.

Reason: hard-sigmoid leaves a sixth behind; as an operator of its own it would read, round and
write the whole map for nothing.

Algebra: W (c x) = (c W) x, and moves, means, maxima of a positive factor, ReLUs and products pass
a factor on. It stays where a sum, a concatenation or an output reads it.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import arguments, aten, attribute, calls, constant, is_call
from export.quantization.roles import MOVES, PADS, is_number

__all__ = ["rewrite"]

_WEIGHTED = (aten.conv2d.default, aten.linear.default)
_PASSING = (*MOVES - {aten.cat.default}, aten.mean.dim, aten.relu.default)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many products were removed."""
    rewrites = 0
    for node in calls(graph, aten.mul.Tensor):
        x, factor = node.args
        if not isinstance(x, fx.Node) or not is_number(factor) or not factor > 0:
            continue
        takers = _find_takers(node)
        if takers is None:
            continue
        for taker, power in takers.items():
            _scale_weights(taker, float(factor) ** power)
        node.replace_all_uses_with(x)
        graph.erase_node(node)
        rewrites += 1
    return rewrites


def _find_takers(start: fx.Node) -> dict[fx.Node, int] | None:
    """Return the layers that can take the factor and with which power, None if one reader cannot.

    A product of two values that both hold the factor holds its square.
    """
    powers = {start: 1}
    takers: dict[fx.Node, int] = {}
    reached = False
    for node in start.graph.nodes:
        if node is start:
            reached = True
            continue
        held = [n for n in node.all_input_nodes if n in powers]
        if not reached or not held:
            continue
        if is_call(node, *_WEIGHTED):
            if held != [node.args[0]] or arguments(node)["weight"].op != "get_attr":
                return None
            takers[node] = powers[held[0]]
        elif is_call(node, aten.mul.Tensor):
            powers[node] = sum(powers.get(n, 0) for n in node.args if isinstance(n, fx.Node))
        elif is_call(node, *_PASSING) and not _adds_numbers(node):
            powers[node] = powers[held[0]]
        else:
            return None
    return takers


def _adds_numbers(node: fx.Node) -> bool:
    return is_call(node, *PADS) and bool(arguments(node)["value"])


def _scale_weights(layer: fx.Node, factor: float) -> None:
    weight = arguments(layer)["weight"]
    scaled = (attribute(weight).double() * factor).float()
    layer.replace_input_with(weight, constant(layer, scaled, "scaled_weight"))
