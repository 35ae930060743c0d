"""Give every convolution its own PAD, or none.

XNNPACK merges a zero PAD into the convolution behind it only while that convolution is its one
reader: one PAD shared by two convolutions costs up to 1.8 times the time of two PADs of their own.
"""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.graph import Graph, Op, Tensor, constant
from export.onnx_to_tflite.window import Axis

__all__ = ["own_pads"]

CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})


def own_pads(graph: Graph) -> None:
    """Join PAD behind PAD, turn PAD and VALID into SAME where they are equal, copy shared PADs."""
    _join(graph)
    graph.prune()
    producers, uses = graph.producers(), graph.use_counts()
    ops: list[Op] = []
    for op in graph.ops:
        pad = producers.get(op.data_input) if op.kind in CONVOLUTIONS else None
        if pad is None or pad.kind != "PAD" or op.options["padding"] != "VALID":
            ops.append(op)
        elif _is_same(pad, op):
            ops.append(_reading(op, pad.data_input).with_options(padding="SAME"))
        elif uses[pad.output] > 1:
            out = Tensor(name=pad.output.name, shape=pad.output.shape, dtype=pad.output.dtype)
            ops.extend([pad.with_fields(outputs=(out,)), _reading(op, out)])
        else:
            ops.append(op)
    graph.ops = ops


def _reading(op: Op, tensor: Tensor) -> Op:
    return op.with_fields(inputs=(tensor, *op.inputs[1:]))


def _amounts(pad: Op) -> np.ndarray:
    operand = pad.inputs[1]
    if operand is None or operand.data is None:
        raise ValueError("PAD: the amounts are no constant")
    return operand.data


def _join(graph: Graph) -> None:
    """Replace PAD of a PAD by one that adds both borders."""
    producers: dict[Tensor, Op] = {}
    ops = []
    for op in graph.ops:
        inner = producers.get(op.data_input) if op.kind == "PAD" else None
        if inner is not None and inner.kind == "PAD":
            total = constant("pads", _amounts(inner) + _amounts(op))
            op = op.with_fields(inputs=(inner.data_input, total))
        ops.append(op)
        producers.update((out, op) for out in op.outputs)
    graph.ops = ops


def _is_same(pad: Op, op: Op) -> bool:
    """Whether the convolution's SAME on the unpadded image reads the same zeros."""
    kernel = op.inputs[1]
    amounts = _amounts(pad)
    if kernel is None or amounts[0].any() or amounts[3].any():
        return False
    for i, side in ((1, "H"), (2, "W")):
        axis = Axis(
            size=pad.data_input.shape[i],
            out=op.output.shape[i],
            kernel=kernel.shape[i],
            stride=int(str(op.options[f"stride{side}"])),
            dilation=int(str(op.options[f"dilation{side}Factor"])),
            before=int(amounts[i][0]),
            after=int(amounts[i][1]),
        )
        if not axis.is_same:
            return False
    return True
