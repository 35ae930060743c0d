"""Which operators of a .tflite file an engine's profiled steps belong to.

LiteRT's profiler names XNNPACK's steps, as ``Convolution (NHWC, F32) IGEMM``, and not the file's
operators. XNNPACK runs them in the file's order; some it folds into a neighbour (a pad into its
convolution) and some it cuts in two. So both lists are walked together: a step belongs to the
next operator that can make it, or to the one that has just made one; operators that multiply are
never passed over. Where that does not come out even, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence

from export.onnx_to_tflite.listing import FileOperator

__all__ = ["place_steps"]

# Kind of operator to the beginnings of the names of steps that it can become.
_STEPS: dict[str, tuple[str, ...]] = {
    "ABS": ("Abs",),
    "ADD": ("Add",),
    "AVERAGE_POOL_2D": ("Average Pooling", "Global Average Pooling"),
    "BATCH_MATMUL": ("Batch Matrix Multiply",),
    "CONCATENATION": ("Copy", "Concatenate"),
    "CONV_2D": ("Convolution", "Fully Connected"),
    "DEPTHWISE_CONV_2D": ("Convolution",),
    "DEPTH_TO_SPACE": ("Depth To Space", "Transpose"),
    "DEQUANTIZE": ("Convert",),
    "DIV": ("Divide",),
    "ELU": ("ELU",),
    "EXPAND_DIMS": ("Static Reshape", "Copy"),
    "FULLY_CONNECTED": ("Fully Connected", "Static Reshape"),
    "HARD_SWISH": ("HardSwish", "Hardswish"),
    "LEAKY_RELU": ("Leaky ReLU",),
    "LOGISTIC": ("Sigmoid",),
    "MAXIMUM": ("Maximum",),
    "MAX_POOL_2D": ("Max Pooling",),
    "MEAN": ("Mean", "Global Average Pooling", "Static Reshape"),
    "MINIMUM": ("Minimum",),
    "MUL": ("Multiply",),
    "NEG": ("Negate",),
    "PAD": ("Constant Pad",),
    "PADV2": ("Constant Pad",),
    "PRELU": ("PReLU",),
    "QUANTIZE": ("Convert",),
    "RELU": ("Clamp",),
    "RELU6": ("Clamp",),
    "RELU_0_TO_1": ("Clamp",),
    "RELU_N1_TO_1": ("Clamp",),
    "RESHAPE": ("Static Reshape", "Copy"),
    "RESIZE_BILINEAR": ("Resize Bilinear",),
    "RSQRT": ("Reciprocal Square Root",),
    "SLICE": ("Slice",),
    "SOFTMAX": ("Softmax",),
    "SPACE_TO_DEPTH": ("Space To Depth", "Transpose"),
    "SPLIT": ("Slice", "Copy"),
    "SQRT": ("Square Root",),
    "SQUARE": ("Square",),
    "SQUARED_DIFFERENCE": ("Squared Difference",),
    "STRIDED_SLICE": ("Slice",),
    "SUB": ("Subtract",),
    "SUM": ("Sum", "Static Reshape"),
    "TANH": ("Tanh",),
    "TRANSPOSE": ("Transpose",),
    "TRANSPOSE_CONV": ("Deconvolution",),
}
_NEVER_FOLDED = {
    "AVERAGE_POOL_2D",
    "BATCH_MATMUL",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "MAX_POOL_2D",
    "MEAN",
    "TRANSPOSE_CONV",
}


def place_steps(steps: Sequence[str], operators: Sequence[FileOperator]) -> list[int] | None:
    """Return for each step the place of its operator; None where the two lists do not fit."""
    places, at = [], -1
    for step in steps:
        following = _find_next(step, operators, at + 1)
        if following is not None:
            at = following
        elif at < 0 or not _makes(operators[at], step):
            return None
        places.append(at)
    rest = operators[at + 1 :]
    return None if any(one.kind in _NEVER_FOLDED for one in rest) else places


def _find_next(step: str, operators: Sequence[FileOperator], begin: int) -> int | None:
    for place in range(begin, len(operators)):
        if _makes(operators[place], step):
            return place
        if operators[place].kind in _NEVER_FOLDED:
            return None
    return None


def _makes(operator: FileOperator, step: str) -> bool:
    # Outside a delegate, a step has the operator's own name.
    return step.startswith((operator.kind, *_STEPS.get(operator.kind, ())))
