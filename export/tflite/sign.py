"""Which tensors provably hold no negative value, so that zero is neutral for a maximum."""

from __future__ import annotations

from export.tflite.builder import Builder
from export.tflite.graph import Tensor

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
    if tensor.data is not None:
        return bool(tensor.data.size and (tensor.data >= 0).all())
    op = build.producer(tensor)
    if op is None:
        return False
    if op.kind in ALWAYS:
        return True
    if op.kind not in PRESERVING:
        return False
    return all(
        is_non_negative(build, t) for t in op.inputs if t is not None and t.dtype == tensor.dtype
    )
