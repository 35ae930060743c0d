"""Counts as node data of Model Explorer: the file's own graph, coloured by instructions.

Model Explorer finds a node by the name of a tensor that it makes. XNNPACK joins some operators of
the file, as a padding with its convolution, so its operators are put beside those of the file in
order and by kind; an operator of the file that has none was joined with another, or costs nothing.

Source: ai-edge-model-explorer 0.1.34, node_data_builder.py (GraphNodeData).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.arm_cost.difference import OperatorChange, kind_of
from android_bench.arm_cost.matching import match
from android_bench.records import ArmCount, OperatorCount
from pfd_models.errors import InputError

__all__ = ["GraphNode", "change_data", "cost_data", "read_graph"]

# What XNNPACK and TFLite call the same; where nothing stands, likely names are compared.
_KINDS: Mapping[str, tuple[str, ...]] = {
    "CONV_2D": ("IGEMM", "Fully Connected", "GEMM"),
    "DEPTHWISE_CONV_2D": ("DWConv",),
    "TRANSPOSE_CONV": ("Deconvolution",),
    "FULLY_CONNECTED": ("Fully Connected",),
    "BATCH_MATMUL": ("Batch Matrix Multiply", "Fully Connected"),
    "MAX_POOL_2D": ("Max Pooling",),
    "AVERAGE_POOL_2D": ("Average Pooling",),
    "CONCATENATION": ("Copy",),
    "SPLIT": ("Copy", "Slice"),
    "SLICE": ("Slice",),
    "STRIDED_SLICE": ("Slice",),
    "TRANSPOSE": ("Transpose",),
    "RESHAPE": ("Reshape",),
    "MEAN": ("Mean",),
    "SUM": ("Sum",),
    "PAD": ("Pad",),
    "MUL": ("Multiply",),
    "SUB": ("Subtract",),
    "DIV": ("Divide",),
    "LOGISTIC": ("Sigmoid",),
    "HARD_SWISH": ("HardSwish",),
    "RESIZE_BILINEAR": ("Resize Bilinear",),
    "QUANTIZE": ("Convert",),
    "DEQUANTIZE": ("Convert",),
}
_COLOURS = (
    {"stop": 0, "bgColor": "#ffffff"},
    {"stop": 1, "bgColor": "#e11d48"},
)
_CHANGE_COLOURS = (
    {"stop": 0, "bgColor": "#0d9488"},
    {"stop": 1, "bgColor": "#e11d48"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """One operator of a file.

    Attributes:
        kind: As the schema calls it, as ``CONV_2D``.
        tensor: The name of the first tensor that it makes.
    """

    kind: str
    tensor: str


def read_graph(path: Path) -> tuple[GraphNode, ...]:
    """Return the operators of a ``.tflite``, in order.

    Raises:
        InputError: It is none: Model Explorer shows no other file of ours.
    """
    if path.suffix != ".tflite":
        raise InputError(f"{path.name} has no graph that Model Explorer shows: give two .tflite")
    from ai_edge_litert import schema_py_generated as schema

    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    model = schema.Model.GetRootAs(path.read_bytes())
    graph = model.Subgraphs(0)
    nodes = []
    for place in range(graph.OperatorsLength()):
        node = graph.Operators(place)
        code = model.OperatorCodes(node.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        tensor = graph.Tensors(node.Outputs(0)).Name().decode(errors="replace")
        nodes.append(GraphNode(kind=kinds.get(number, "CUSTOM"), tensor=tensor))
    return tuple(nodes)


def cost_data(graph: Sequence[GraphNode], count: ArmCount) -> str:
    """Return the instructions of each operator of a file."""
    values = {
        tensor: count.operators[place].counts.instructions
        for place, tensor in _tensors(graph, count).items()
    }
    return _document(f"instructions on {count.core}", values, _COLOURS)


def change_data(
    graph: Sequence[GraphNode], after: ArmCount, changes: Sequence[OperatorChange]
) -> str:
    """Return by how many instructions each operator of the second file differs from the first's."""
    tensors = _tensors(graph, after)
    values = {
        tensors[change.after]: change.instructions
        for change in changes
        if change.after is not None and change.after in tensors
    }
    return _document(f"instructions added on {after.core}", values, _CHANGE_COLOURS)


def _tensors(graph: Sequence[GraphNode], count: ArmCount) -> dict[int, str]:
    """Return the place of an operator of the engine to the tensor it makes."""
    return {
        i: graph[j].tensor
        for i, j in match(count.operators, graph, _likeness)
        if i is not None and j is not None
    }


def _likeness(operator: OperatorCount, node: GraphNode) -> int:
    kind = kind_of(operator)
    words = _KINDS.get(node.kind, (node.kind.replace("_", "").lower(),))
    plain = kind.lower().replace(" ", "")
    return int(any(word.lower().replace(" ", "") in plain for word in words))


def _document(
    name: str, values: Mapping[str, int], gradient: Sequence[Mapping[str, object]]
) -> str:
    plain = {
        "name": name,
        "results": {tensor: {"value": value} for tensor, value in values.items()},
        "gradient": list(gradient),
    }
    return json.dumps(plain, indent=1) + "\n"
