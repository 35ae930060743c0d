"""Which tensors provably hold no negative value, so that zero is neutral for a maximum."""

from __future__ import annotations

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor

__all__ = ["is_non_negative"]

#: Never negative, whatever goes in.
ALWAYS = frozenset({"ABS", "EXP", "LOGISTIC", "RELU", "RELU6", "SOFTMAX", "SQRT", "SQUARE"})
#: Not negative where no operand is.
PRESERVING = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "DEPTH_TO_SPACE",
        "MAXIMUM",
        "MAX_POOL_2D",
        "MEAN",
        "MINIMUM",
        "MUL",
        "PAD",
        "RESHAPE",
        "SLICE",
        "SPACE_TO_DEPTH",
        "STRIDED_SLICE",
        "SUM",
        "TRANSPOSE",
    }
)


def is_non_negative(build: Builder, tensor: Tensor) -> bool:
    """Say whether a tensor provably holds no negative value; False means unknown.

    NaN is neither, and stays NaN in a maximum with zero or without.
    """
    waiting, seen = [tensor], {tensor}
    while waiting:
        current = waiting.pop()
        if current.data is not None:
            if not (current.data >= 0).all():
                return False
            continue
        op = build.producer(current)
        if op is None or op.kind not in ALWAYS | PRESERVING:
            return False
        if op.kind in PRESERVING:
            values = {t for t in op.inputs if t is not None and t.dtype == tensor.dtype}
            waiting.extend(values - seen)
            seen |= values
    return True
