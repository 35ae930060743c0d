"""Between which limits an integer tensor provably lies, whatever the inputs of the model."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Op, Tensor

__all__ = ["Range", "fits_int32", "integer_range"]

#: Least and greatest value, both possible; None where nothing is known.
Range = tuple[int, int] | None

#: Operators whose results are elements of their first operand.
MOVES = frozenset({"GATHER", "GATHER_ND", "RESHAPE", "SLICE", "STRIDED_SLICE", "TRANSPOSE"})
#: Operators that return an index along the axis that they search.
SEARCHES = frozenset({"ARG_MAX", "ARG_MIN"})
#: How many operators are looked through, which bounds the work on shared subterms.
DEPTH = 12


def fits_int32(limits: Range) -> bool:
    """Say whether a range lies within int32; False where it is unknown."""
    info = np.iinfo(np.int32)
    return limits is not None and info.min <= limits[0] and limits[1] <= info.max


def integer_range(build: Builder, tensor: Tensor, depth: int = DEPTH) -> Range:
    """Return the limits of a tensor's elements, from constants, comparisons and indices."""
    if tensor.data is not None:
        if tensor.data.dtype.kind not in "iub" or not tensor.size:
            return None
        return int(tensor.data.min()), int(tensor.data.max())
    if tensor.dtype == np.bool_:
        return 0, 1
    if tensor.dtype in (np.int8, np.uint8):
        info = np.iinfo(tensor.dtype)
        return int(info.min), int(info.max)
    op = build.producer(tensor)
    if op is None or depth == 0 or tensor.dtype.kind != "i":
        return None
    if op.kind in SEARCHES:
        axis = op.inputs[1]
        if axis is None or axis.data is None:
            return None
        return 0, op.data_input.shape[int(axis.data.reshape(()))] - 1
    if op.kind == "TOPK_V2" and tensor is op.outputs[1]:
        return 0, op.data_input.shape[-1] - 1
    limits = _computed(build, op, depth - 1)
    info = np.iinfo(tensor.dtype)
    # What may leave the type wraps around, and then nothing is known.
    return limits if limits and info.min <= limits[0] and limits[1] <= info.max else None


def _computed(build: Builder, op: Op, depth: int) -> Range:
    """Limits of the result of an operator on integers."""
    if op.kind in MOVES or op.kind == "CAST":
        return integer_range(build, op.data_input, depth)
    operands = [integer_range(build, t, depth) for t in op.inputs if t is not None]
    if op.kind == "FLOOR_MOD":
        divisor = operands[1]
        return (0, divisor[1] - 1) if divisor is not None and divisor[0] > 0 else None
    known = [limits for limits in operands if limits is not None]
    if len(known) != len(operands) or not known:
        return None
    if op.kind == "CONCATENATION":
        return min(low for low, _ in known), max(high for _, high in known)
    if len(known) != 2:
        return None
    return _of_two(op.kind, known[0], known[1])


def _of_two(kind: str, left: tuple[int, int], right: tuple[int, int]) -> Range:
    """Limits of a sum, difference, product, or the larger or smaller of two."""
    if kind == "ADD":
        limits = left[0] + right[0], left[1] + right[1]
    elif kind == "SUB":
        limits = left[0] - right[1], left[1] - right[0]
    elif kind == "MUL":
        corners = [a * b for a in left for b in right]
        limits = min(corners), max(corners)
    elif kind == "MAXIMUM":
        limits = max(left[0], right[0]), max(left[1], right[1])
    elif kind == "MINIMUM":
        limits = min(left[0], right[0]), min(left[1], right[1])
    elif kind == "DIV" and right[0] > 0:
        corners = [abs(a) // b * (1 if a > 0 else -1) for a in left for b in right]
        limits = min(corners), max(corners)
    else:
        return None
    return limits
