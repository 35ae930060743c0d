"""What the output loses when one layer alone is quantised.

The layer reads its operands in 8 bits, has its weights in 8 bits and stores its result in 8 bits;
its bias takes back the shift that this makes by itself (see `recipe`). Everything else is float.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from export.graph.module_paths import name_results
from export.passes._editing import attribute
from export.quantization.cost import measure_cost
from export.quantization.quantize import Simplified
from export.quantization.recipe import (
    Corrected,
    is_layer,
    mean_shift,
    round_constants,
    round_node,
    run_layer,
)
from export.quantization.roles import Role, role
from export.quantization.scales import Affine, fake_quantize, stored_result
from export.quantization.walk import call, walk
from export.sets.manifest import PrecisionCost

__all__ = ["SAMPLES", "LayerLoss", "measure_alone"]

SAMPLES = 16
"""How many samples are enough to rank layers: every layer costs half a run of the network for
each."""

AT_ONCE = 4
"""Samples whose inner values are in memory together."""

_Samples = Sequence[Sequence[Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLoss:
    """What one layer alone costs.

    Attributes:
        name: Of the layer.
        operators: Names of its operators in the graph and in the ``.onnx``.
        cost: Of the network in which nothing else is quantised, against the float one.
    """

    name: str
    operators: tuple[str, ...]
    cost: PrecisionCost


def measure_alone(
    network: Simplified,
    affines: Mapping[fx.Node, Affine],
    samples: _Samples,
    held: _Samples,
    labels: Sequence[int] = (),
) -> list[LayerLoss]:
    """Quantise each layer alone and measure what the first output loses.

    Args:
        network: Whose layers these are.
        affines: From `choose_scales`.
        samples: To correct biases on.
        held: To measure on; `SAMPLES` are enough.
        labels: Class of each image of `held`, or empty.
    """
    stored = _correct_alone(network.module.graph, samples, affines)
    exact: list[Any] = []
    found: dict[str, list[Any]] = {name: [] for name in network.layers}
    for start in range(0, len(held), AT_ONCE):
        values, outputs = _run_float(network.module.graph, held[start : start + AT_ONCE])
        exact += outputs
        for name, nodes in network.layers.items():
            found[name] += list(_run_with_one(network.module.graph, nodes, values, affines, stored))
    names = name_results(network.module.graph)
    return [
        LayerLoss(
            name=name,
            operators=tuple(names.get(node.name, node.name) for node in nodes),
            cost=measure_cost(exact, found[name], labels),
        )
        for name, nodes in network.layers.items()
    ]


def _correct_alone(
    graph: fx.Graph, samples: _Samples, affines: Mapping[fx.Node, Affine]
) -> dict[fx.Node, Corrected]:
    """Store every layer's weights, its bias corrected for what happens in itself only."""
    layers: dict[fx.Node, Corrected] = {}
    pairs: dict[fx.Node, tuple[list[Tensor], list[Tensor]]] = {}

    def compute(node: fx.Node, given: list[Any]) -> Any:
        exact = call(node, given)
        if is_layer(node):
            source = affines[node.all_input_nodes[0]]
            if node not in layers:
                layers[node], pairs[node] = round_node(node, source), ([], [])
            rounded = run_layer(node, layers[node], fake_quantize(given[0], source), affines)
            pairs[node][0].append(exact)
            pairs[node][1].append(rounded)
        return exact

    for node, _ in walk(graph, samples, compute):
        if node in pairs:
            step = affines[node.all_input_nodes[0]].scale * layers[node].scales
            units = torch.round(mean_shift(*pairs.pop(node)) / step).to(torch.int32)
            layers[node] = replace(layers[node], bias=layers[node].bias + units)
    return layers


def _run_float(
    graph: fx.Graph, samples: _Samples
) -> tuple[dict[fx.Node, list[Any]], list[np.ndarray[Any, Any]]]:
    """Return every value of the float network, and its first output, for each sample."""
    values: dict[fx.Node, list[Any]] = {}
    for node, found in walk(graph, samples, call):
        values[node] = list(found)
    output = next(node for node in values if node.op == "output")
    return values, [_first(returned) for returned in values[output]]


def _run_with_one(
    graph: fx.Graph,
    layer: Sequence[fx.Node],
    values: Mapping[fx.Node, list[Any]],
    affines: Mapping[fx.Node, Affine],
    stored: Mapping[fx.Node, Corrected],
) -> Iterator[np.ndarray[Any, Any]]:
    """Run with one layer quantised, from that layer on; yield the first output of each sample."""
    inside = {*layer, *map(stored_result, layer)}
    behind = dict.fromkeys(inside)  # what the layer changes
    for node in graph.nodes:
        if any(operand in behind for operand in node.all_input_nodes):
            behind[node] = None
    *operators, output = (node for node in graph.nodes if node in behind)
    for index in range(len(values[output])):
        changed: dict[fx.Node, Any] = {}

        def value_of(node: fx.Node, changed: dict[fx.Node, Any] = changed, i: int = index) -> Any:
            if node in changed:
                return changed[node]
            return values[node][i] if node in values else attribute(node)

        for node in operators:
            given = [value_of(operand) for operand in node.all_input_nodes]
            with torch.no_grad():
                if node in inside:
                    changed[node] = _compute_stored(node, given, affines, stored)
                else:
                    changed[node] = call(node, given)
        yield _first(fx.node.map_arg(output.args[0], value_of))


def _compute_stored(
    node: fx.Node,
    given: list[Any],
    affines: Mapping[fx.Node, Affine],
    stored: Mapping[fx.Node, Corrected],
) -> Any:
    """Compute an operator from operands in 8 bits, to a result in 8 bits where it is stored."""
    given = [
        fake_quantize(tensor, affines[operand]) if operand in affines else tensor
        for operand, tensor in zip(node.all_input_nodes, given, strict=True)
    ]
    if node in stored:
        result: Any = run_layer(node, stored[node], given[0], affines)
    else:
        result = call(
            node, round_constants(node, given, affines) if role(node) is Role.INTEGER else given
        )
    return fake_quantize(result, affines[node]) if node in affines else result


def _first(returned: Any) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tree_leaves(returned)[0].numpy()
    return array
