"""Fuse RELU, RELU6 and RELU_N1_TO_1 into the operator that computes their operand.

A fused activation is a clamp inside the kernel; a separate one reads and writes the whole tensor.
"""

from __future__ import annotations

from export.onnx_to_tflite.graph import FUSABLE, Graph, Op, Tensor
from export.onnx_to_tflite.push_through_concat import push_through_concat

__all__ = ["fuse_activations"]

ACTIVATIONS = frozenset({"RELU", "RELU6", "RELU_N1_TO_1"})


def _can_fuse(producer: Op, op: Op) -> bool:
    return op.kind in ACTIVATIONS and producer.kind in FUSABLE and producer.activation == "NONE"


def fuse_activations(graph: Graph) -> None:
    """Fuse wherever the activation is the only reader of its operand, or of all joined operands."""
    push_through_concat(graph, _can_fuse)
    uses = graph.use_counts()
    producers = graph.producers()
    fused: dict[Op, Op] = {}
    dropped: set[Op] = set()
    for op in graph.ops:
        if op.kind not in ACTIVATIONS:
            continue
        source: Tensor = op.data_input
        producer = producers.get(source)
        if producer is None or uses[source] != 1 or not _can_fuse(producer, op):
            continue
        fused[producer] = producer.with_options(fusedActivationFunction=op.kind).with_fields(
            outputs=op.outputs
        )
        dropped.add(op)
    graph.ops = [fused.get(op, op) for op in graph.ops if op not in dropped]
