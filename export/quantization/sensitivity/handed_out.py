"""A quantised network that also returns what it has inside, so that its files can be compared.

No runtime lets a caller read the inside of a delegate. Written from this network instead, a file
returns each stored value as a further output; its operators, scales and weights are the same.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import fx

from export.graph.module_paths import name_results
from export.graph.program import Program
from export.passes._editing import calls, insert, value
from export.quantization.insert import QDQ
from export.quantization.quantize import Quantized
from export.sets.manifest import TensorSpec

__all__ = ["HandedOut", "hand_out"]

_QUANTIZE, _DEQUANTIZE = QDQ.quantize_per_tensor.default, QDQ.dequantize_per_tensor.default


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOut:
    """A program with its inner values as outputs.

    Attributes:
        program: Its outputs are those of the network, then the inner values, as float32 numbers.
        places: Which output each value is, by its name.
    """

    program: Program
    places: dict[str, int]


def hand_out(quantized: Quantized) -> HandedOut:
    """Return a quantised network with every value it stores as an output.

    Args:
        quantized: With outputs of floats.
    """
    module = quantized.program.module()
    graph = module.graph
    output = next(node for node in graph.nodes if node.op == "output")
    outputs = [leaf for leaf in output.args[0] if isinstance(leaf, fx.Node)]
    named = {known.name for known in quantized.values}
    names = name_results(quantized.program.exported.graph)
    stored = [
        n
        for n in calls(graph, _QUANTIZE)
        if names.get(n.all_input_nodes[0].name, n.all_input_nodes[0].name) in named
    ]
    places, specs = {}, list(quantized.program.outputs)
    for known, node in zip(quantized.values, stored, strict=True):
        ready = next((reader for reader in node.users if reader in outputs), None)
        if ready is None:  # the network does not return it by itself
            ready = insert(output, _DEQUANTIZE, node, *node.args[1:])
            outputs.append(ready)
            specs.append(_spec(known.name, ready))
        places[known.name] = outputs.index(ready)
    output.args = (tuple(outputs),)
    graph.set_codegen(fx.graph.CodeGen())  # the old one knows how many outputs there were
    graph.lint()
    module.recompile()
    with torch.no_grad():
        exported = torch.export.export(module, quantized.program.example, strict=False)
    program = dataclasses.replace(quantized.program, exported=exported, outputs=tuple(specs))
    return HandedOut(program=program, places=places)


def _spec(name: str, node: fx.Node) -> TensorSpec:
    shape = tuple(map(int, value(node).shape))
    layout = "NCHW" if len(shape) == 4 else ""
    return TensorSpec(name=f"inside_{name.replace('/', '_')}", shape=shape, layout=layout)
