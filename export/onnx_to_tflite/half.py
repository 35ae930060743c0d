"""Store a graph's float constants in half precision, each behind a DEQUANTIZE.

That is the form which every runtime knows: XNNPACK takes such a constant for one of its own, and
LiteRT's built-in kernels get what the DEQUANTIZE makes of it, in float32.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.onnx_to_tflite.graph import Graph, Op, Tensor
from pfd_models.errors import UnsupportedOperatorError

__all__ = ["MOST_KEPT", "store_half"]

MOST_KEPT = 16
"""Elements of a constant that is not worth a DEQUANTIZE and stays in float32."""


def store_half(graph: Graph) -> None:
    """Edit a graph in place, after every other rewrite.

    Raises:
        UnsupportedOperatorError: A constant is beyond the largest half number.
    """
    wide: dict[Tensor, Tensor] = {}
    reads: list[Op] = []
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor is None or tensor in wide or not _is_stored(tensor):
                continue
            wide[tensor] = replace(tensor, data=None)
            reads.append(Op(kind="DEQUANTIZE", inputs=(_round(tensor),), outputs=(wide[tensor],)))
    graph.ops = [
        *reads,
        *(
            op.with_fields(inputs=tuple(None if t is None else wide.get(t, t) for t in op.inputs))
            for op in graph.ops
        ),
    ]


def _is_stored(tensor: Tensor) -> bool:
    return tensor.data is not None and tensor.dtype == np.float32 and tensor.size > MOST_KEPT


def _round(tensor: Tensor) -> Tensor:
    assert tensor.data is not None
    with np.errstate(over="ignore"):
        data = tensor.data.astype(np.float16)
    if (beyond := np.isinf(data) & np.isfinite(tensor.data)).any():
        largest = float(np.abs(tensor.data[beyond]).max())
        raise UnsupportedOperatorError(
            f"the constant {tensor.name!r} holds {largest:g}, and half precision ends at 65504"
        )
    return replace(tensor, name=f"{tensor.name};half", dtype=data.dtype, data=data)
