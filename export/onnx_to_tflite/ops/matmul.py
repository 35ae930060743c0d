"""Gemm and MatMul: FULLY_CONNECTED for constant weights, BATCH_MATMUL otherwise."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array, Tensor, constant
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.reader import Node


def fully_connected(
    build: Builder,
    x: Tensor,
    weight: Array | Tensor,
    bias: Array | Tensor | None,
    *,
    keep_dims: bool = False,
) -> Tensor:
    """FULLY_CONNECTED with weight (O, I); operands of more than two axes keep them.

    Weights and bias that several operators share are given as tensors, which are stored once.
    """
    if bias is None:
        bias = np.zeros(weight.shape[0], np.float32)
    options = {
        "keepNumDims": keep_dims,
        "weightsFormat": "DEFAULT",
        "fusedActivationFunction": "NONE",
    }
    operands = [
        x,
        *(
            data if isinstance(data, Tensor) else constant(name, np.ascontiguousarray(data))
            for name, data in (("weight", weight), ("bias", bias))
        ),
    ]
    return build.emit("FULLY_CONNECTED", operands, (*x.shape[:-1], weight.shape[0]), options)


def batch_matmul(build: Builder, left: Tensor, right: Tensor, *, adj_y: bool = False) -> Tensor:
    """BATCH_MATMUL; operands of fewer axes get leading ones."""
    rank = max(len(left.shape), len(right.shape), 3)
    squeeze = max(len(left.shape), len(right.shape)) == 2
    left, right = (build.reshape(t, (1,) * (rank - len(t.shape)) + t.shape) for t in (left, right))
    columns = right.shape[-2] if adj_y else right.shape[-1]
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*batch, left.shape[-2], columns)
    options = {"adjX": False, "adjY": adj_y, "asymmetricQuantizeInputs": False}
    out = build.emit("BATCH_MATMUL", [left, right], shape, options)
    return build.reshape(out, shape[1:]) if squeeze else out


@lowers("Gemm")
def gemm(node: Node, build: Builder) -> None:
    """Alpha * A @ B + beta * C, alpha and beta folded into constant weights."""
    alpha, beta = node.attrs.get("alpha", 1.0), node.attrs.get("beta", 1.0)
    order = (1, 0) if node.attrs.get("transA", 0) else (0, 1)
    x = build.tensor(node.inputs[0], order)
    weight = build.const(node.inputs[1])
    addend = build.const(node.input(2)) if node.input(2) else None
    bias = None
    if weight is None:
        right = build.tensor(node.inputs[1], (1, 0) if node.attrs.get("transB", 0) else (0, 1))
        y = batch_matmul(build, x, right)
        if alpha != 1:
            y = build.binary("MUL", y, build.const_tensor("alpha", alpha))
    else:
        stored = weight if node.attrs.get("transB", 0) else weight.T
        if alpha != 1:
            stored = stored * np.float32(alpha)
        rows = addend.size // addend.shape[-1] if addend is not None and addend.ndim else 1
        if addend is not None and rows == 1:
            bias = np.broadcast_to(addend.reshape(-1) * np.float32(beta), (stored.shape[0],))
        kernel = constant(node.inputs[1], np.ascontiguousarray(stored))
        y = fully_connected(build, x, kernel, bias)
    if node.input(2) and bias is None:
        c = build.tensor(node.inputs[2])
        if beta != 1:
            c = build.binary("MUL", c, build.const_tensor("beta", beta))
        y = build.binary("ADD", y, c)
    build.bind(node.outputs[0], y)


@lowers("MatMul")
def matmul(node: Node, build: Builder) -> None:
    """FULLY_CONNECTED for a constant right operand of two axes, BATCH_MATMUL otherwise."""
    a, b = node.inputs
    shape_a, shape_b = build.shape(a), build.shape(b)
    if len(shape_a) == 1 or len(shape_b) == 1:
        left, right = build.tensor(a), build.tensor(b)
        left = left if len(shape_a) > 1 else build.reshape(left, (1, *shape_a))
        right = right if len(shape_b) > 1 else build.reshape(right, (*shape_b, 1))
        product = batch_matmul(build, left, right)
        build.bind(node.outputs[0], build.reshape(product, build.shape(node.outputs[0])))
        return
    weight = build.const(b)
    if weight is not None and weight.ndim == 2 and build.const(a) is None:
        y = fully_connected(build, build.tensor(a), weight.T, None, keep_dims=len(shape_a) > 2)
        build.bind(node.outputs[0], y)
        return
    rank = len(shape_b)
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    adj_y = build.const(b) is None and build.value(b).order == swapped
    right = build.tensor(b, swapped) if adj_y else build.tensor(b)
    build.bind(node.outputs[0], batch_matmul(build, build.tensor(a), right, adj_y=adj_y))
