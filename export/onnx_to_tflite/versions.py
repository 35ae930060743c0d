"""The lowest operator version that expresses each operator.

From the rules of LiteRT's ``op_version.cc``. A version is what a runtime must know to run the
operator, so a lower one runs on more phones; each stays within what tflite-runtime 2.14 accepts.
"""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.graph import Op

__all__ = ["HIGHEST_IN_2_14", "version"]

#: Highest version that tflite-runtime 2.14.0 (2023) accepts, found by loading one-operator models.
HIGHEST_IN_2_14 = {
    "ADD": 5,
    "ARG_MAX": 3,
    "AVERAGE_POOL_2D": 3,
    "BATCH_MATMUL": 4,
    "CAST": 5,
    "CONCATENATION": 4,
    "CONV_2D": 7,
    "DEPTHWISE_CONV_2D": 7,
    "DEQUANTIZE": 5,
    "DIV": 2,
    "FULLY_CONNECTED": 10,
    "GATHER": 6,
    "GELU": 2,
    "HARD_SWISH": 1,
    "LOGISTIC": 3,
    "MAXIMUM": 4,
    "MAX_POOL_2D": 3,
    "MEAN": 3,
    "MINIMUM": 4,
    "MUL": 7,
    "PAD": 4,
    "PADV2": 4,
    "QUANTIZE": 3,
    "RELU": 3,
    "RELU6": 3,
    "RESHAPE": 1,
    "RESIZE_BILINEAR": 4,
    "RESIZE_NEAREST_NEIGHBOR": 4,
    "SLICE": 6,
    "SOFTMAX": 3,
    "SPLIT": 4,
    "STRIDED_SLICE": 8,
    "SUB": 5,
    "SUM": 2,
    "TRANSPOSE": 6,
    "TRANSPOSE_CONV": 4,
}


#: The version that an element type of the first operand needs, where the shape needs no higher.
OF_TYPE = {
    ("ADD", "int64"): 4,
    ("ADD", "int8"): 2,
    ("CONCATENATION", "int8"): 2,
    ("CONV_2D", "int8"): 3,
    ("DEPTHWISE_CONV_2D", "int8"): 3,
    ("DEQUANTIZE", "float16"): 3,
    ("DEQUANTIZE", "int8"): 2,
    ("FULLY_CONNECTED", "int8"): 4,
    ("GATHER", "bool"): 3,
    ("GATHER", "int8"): 2,
    ("MAX_POOL_2D", "int8"): 2,
    ("MEAN", "int8"): 2,
    ("MUL", "int64"): 5,
    ("MUL", "int8"): 2,
    ("PAD", "int8"): 2,
    ("SLICE", "int8"): 2,
    ("STRIDED_SLICE", "bool"): 3,
    ("STRIDED_SLICE", "int8"): 2,
    ("SUB", "int64"): 4,
    ("TRANSPOSE", "bool"): 3,
    ("TRANSPOSE", "int8"): 2,
}


def _rank(op: Op) -> int:
    return max(len(t.shape) for t in (*op.inputs, *op.outputs) if t is not None)


def _is_grouped(op: Op) -> bool:
    kernel = op.inputs[1]
    return kernel is not None and kernel.shape[-1] != op.data_input.shape[-1]


def _is_dilated(op: Op) -> bool:
    return (op.options.get("dilationHFactor", 1), op.options.get("dilationWFactor", 1)) != (1, 1)


def version(op: Op) -> int:
    """Return the lowest version for an operator."""
    if op.kind == "CAST":
        return 3 if "int8" in (op.data_input.dtype.name, op.output.dtype.name) else 1
    if op.kind == "MUL" and op.data_input.dtype == np.int8 and _grows(op):
        return 3
    return max(_of_shape(op), OF_TYPE.get((op.kind, op.data_input.dtype.name), 1))


def _grows(op: Op) -> bool:
    """Whether a product's integers must be scaled up, which its second version cannot."""
    known = [t.quantization for t in (*op.inputs, *op.outputs) if t is not None]
    left, right, out = (float(q.scale[0]) if q is not None else 1.0 for q in known)
    return left * right >= out


def _of_shape(op: Op) -> int:
    """Return the version that shapes and options need."""
    rank = _rank(op)
    if op.kind == "CONV_2D":
        return 6 if _is_grouped(op) else 1
    if op.kind == "DEPTHWISE_CONV_2D":
        return 2 if _is_dilated(op) else 1
    if op.kind == "FULLY_CONNECTED":
        return 5 if op.options.get("keepNumDims") else 1
    if op.kind == "SLICE":
        return 5 if rank > 4 else 1
    if op.kind == "STRIDED_SLICE":
        return 4 if rank > 4 else 1
    if op.kind == "TRANSPOSE":
        return {5: 4, 6: 6}.get(rank, 1)
    if op.kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        return 3 if op.options.get("halfPixelCenters") or op.options.get("alignCorners") else 1
    return 1
