"""BatchNormalization, LayerNormalization and InstanceNormalization from elementwise operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.layout import NHWC, Order, transpose_constant
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.reader import Node, refuse


def normalize(
    build: Builder, x: Tensor, places: Sequence[int], epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(variance + epsilon) over physical axes, the mean and the inverse root."""
    kept = [1 if i in places else d for i, d in enumerate(x.shape)]
    axes = build.const_tensor("axes", sorted(places), np.int32)
    mean = build.emit("MEAN", [x, axes], kept, {"keepDims": True})
    centred = build.binary("SUB", x, mean)
    variance = build.emit("MEAN", [build.unary("SQUARE", centred), axes], kept, {"keepDims": True})
    shifted = build.binary("ADD", variance, build.const_tensor("epsilon", epsilon))
    inverse = build.unary("RSQRT", shifted)
    return build.binary("MUL", centred, inverse), mean, inverse


def along(data: np.ndarray, rank: int, axis: int, order: Order) -> np.ndarray:
    """Lay constants that start at an ONNX axis out for broadcasting in a physical order."""
    trailing = rank - axis - data.ndim
    lifted = data.reshape((1,) * axis + data.shape + (1,) * trailing)
    stored = transpose_constant(lifted, order)
    kept = next((i for i, d in enumerate(stored.shape) if d != 1), rank - 1)
    return stored.reshape(stored.shape[kept:])


@lowers("BatchNormalization", layout="nhwc")
def batch_normalization(node: Node, build: Builder) -> None:
    """MUL and ADD per channel, which a later pass folds into a neighbouring convolution."""
    if node.attrs.get("training_mode", 0) or any(node.outputs[1:]):
        raise refuse(node, "training mode has no lowering; export the model in eval mode")
    scale, shift, mean, variance = (
        build.need_const(node, i, "a statistic").astype(np.float64) for i in range(1, 5)
    )
    factor = scale / np.sqrt(variance + node.attrs.get("epsilon", 1e-5))
    offset = shift - mean * factor
    value = build.value(node.inputs[0])
    rank = len(value.order)
    x, order = value.tensor, value.order
    if rank == 4 and build.wants_nhwc(node.outputs[0]):
        x, order = build.nhwc(node.inputs[0]), NHWC
    place = 1 if rank > 1 else 0
    for kind, number in (("MUL", factor), ("ADD", offset)):
        stored = along(number, rank, place, order)
        x = build.binary(kind, x, build.const_tensor(f"{node.inputs[0]}_{kind.lower()}", stored))
    build.bind(node.outputs[0], x, order)


@lowers("LayerNormalization", layout="any")
def layer_normalization(node: Node, build: Builder) -> None:
    """Mean, variance, RSQRT, scale and shift, over the axes from ``axis`` on."""
    value = build.value(node.inputs[0])
    rank = len(value.order)
    axis = node.attrs.get("axis", -1) % rank
    places = [value.order.index(a) for a in range(axis, rank)]
    epsilon = node.attrs.get("epsilon", 1e-5)
    x, mean, inverse = normalize(build, value.tensor, places, epsilon)
    for name, statistic in zip(node.outputs[1:], (mean, inverse), strict=False):
        if name:
            build.bind(name, statistic, value.order)
    for index, kind in ((1, "MUL"), (2, "ADD")):
        if node.input(index):
            number = build.need_const(node, index, "scale and shift")
            if number.ndim != rank - axis:
                number = np.broadcast_to(number, build.shape(node.inputs[0])[axis:])
            stored = along(number, rank, axis, value.order)
            x = build.binary(kind, x, build.const_tensor(node.input(index), stored))
    build.bind(node.outputs[0], x, value.order)


@lowers("InstanceNormalization", layout="nhwc")
def instance_normalization(node: Node, build: Builder) -> None:
    """Mean and variance of each channel of each image, scale and shift per channel."""
    value = build.value(node.inputs[0])
    rank = len(value.order)
    places = [value.order.index(a) for a in range(2, rank)]
    x, _, _ = normalize(build, value.tensor, places, node.attrs.get("epsilon", 1e-5))
    for index, kind in ((1, "MUL"), (2, "ADD")):
        number = build.need_const(node, index, "scale and shift")
        stored = along(number, rank, 1, value.order)
        x = build.binary(kind, x, build.const_tensor(node.input(index), stored))
    build.bind(node.outputs[0], x, value.order)
