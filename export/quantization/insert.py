"""Write scales and stored weights into a graph, as quantise and dequantise nodes.

The nodes are those of PyTorch's ``quantized_decomposed`` library, which ExecuTorch's XNNPACK
partitioner and PyTorch's ONNX exporter read. They are inserted by hand: the stock quantiser knows
the graph by the module's source and fails on a rewritten one, and it spends range on what a clamp
behind takes away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from export.passes._editing import attribute, constant, insert, replace, value
from export.quantization.recipe import Corrected
from export.quantization.roles import Role, role
from export.quantization.scales import QMAX, QMIN, Affine, constant_affine

__all__ = ["QDQ", "insert_nodes", "store"]


def _load_operators() -> Any:
    """Register the operators of ``quantized_decomposed`` and return their namespace."""
    from torch.ao.quantization.fx import _decomposed

    assert _decomposed  # importing it registers them
    return torch.ops.quantized_decomposed


QDQ = _load_operators()


def insert_nodes(
    graph: fx.Graph,
    affines: Mapping[fx.Node, Affine],
    layers: Mapping[fx.Node, Corrected],
    *,
    integer_io: bool = False,
) -> None:
    """Edit a simplified graph in place.

    Every reader gets a dequantise node of its own, which ExecuTorch's partitioner demands. Clamps
    that a quantiser replaces are removed.

    Args:
        graph: Simplified, in float.
        affines: From `choose_scales`.
        layers: From `correct_biases`.
        integer_io: Let the caller feed and read the integers of inputs and outputs themselves.
    """
    roles = {node: role(node) for node in graph.nodes}
    for node, kind in roles.items():
        if node in layers:
            _store_weights(node, layers[node], affines[node.all_input_nodes[0]])
        elif kind is Role.INTEGER:
            _store_constants(node, affines)
    for node, affine in affines.items():
        if node.users:
            _insert_pairs(node, affine, integer_io=integer_io)
    for node, kind in roles.items():
        if kind is Role.CLAMP and node in affines:
            source = node.args[0]
            assert isinstance(source, fx.Node)
            replace(node, source)


def _insert_pairs(node: fx.Node, affine: Affine, *, integer_io: bool) -> None:
    readers = list(node.users)
    numbers = (affine.scale, affine.zero_point, QMIN, QMAX, torch.int8)
    if integer_io and node.op == "placeholder":
        node.meta["val"] = value(node).to(torch.int8)
        stored = node
    else:
        behind = next(n for n in _following(node) if n.op != "placeholder")
        stored = insert(behind, QDQ.quantize_per_tensor.default, node, *numbers)
    for reader in readers:
        if integer_io and reader.op == "output":
            reader.replace_input_with(node, stored)
        else:
            read = insert(reader, QDQ.dequantize_per_tensor.default, stored, *numbers)
            reader.replace_input_with(node, read)


def _following(node: fx.Node) -> Iterator[fx.Node]:
    while node.next.op != "root":
        node = node.next
        yield node


def _store_weights(node: fx.Node, layer: Corrected, source: Affine) -> None:
    weight = constant(node, layer.weight, "stored_weight")
    scales = constant(node, layer.scales, "weight_scales")
    zeros = constant(node, torch.zeros(len(layer.scales), dtype=torch.int64), "weight_zeros")
    numbers = (0, -QMAX, QMAX, torch.int8)
    read = insert(node, QDQ.dequantize_per_channel.default, weight, scales, zeros, *numbers)
    bias = constant(node, layer.bias * (source.scale * layer.scales), "stored_bias")
    node.args = (node.args[0], read, bias, *node.args[3:])


def _store_constants(node: fx.Node, affines: Mapping[fx.Node, Affine]) -> None:
    for operand in node.all_input_nodes:
        if operand.op != "get_attr":
            continue
        tensor = attribute(operand)
        affine = constant_affine(node, tensor, affines)
        numbers = (affine.scale, affine.zero_point, QMIN, QMAX, torch.int8)
        stored = constant(node, store(tensor, affine), "stored_constant")
        read = insert(node, QDQ.dequantize_per_tensor.default, stored, *numbers)
        node.replace_input_with(operand, read)


def store(tensor: Tensor, affine: Affine) -> Tensor:
    """Return a float tensor in 8 bits."""
    units = torch.round(tensor * (1.0 / affine.scale)) + affine.zero_point
    return units.clamp(QMIN, QMAX).to(torch.int8)
