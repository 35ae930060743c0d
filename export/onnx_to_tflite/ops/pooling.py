"""MaxPool, AveragePool and the global pools, each in a form that XNNPACK delegates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array, Tensor
from export.onnx_to_tflite.layout import NHWC, identity
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.sign import is_non_negative
from export.onnx_to_tflite.subsample import subsample
from export.onnx_to_tflite.window import Axis, bind_image, image, padding, windows


def pool(
    build: Builder, kind: str, x: Tensor, axes: Sequence[Axis], scheme: str, channels: int
) -> Tensor:
    """MAX_POOL_2D or AVERAGE_POOL_2D; a single tap only takes elements."""
    height, width = axes
    shape = (x.shape[0], height.out, width.out, channels)
    if height.kernel == width.kernel == 1:
        return subsample(build, x, (0, 0, 0, 0), shape, (1, height.stride, width.stride, 1))
    options = {
        "padding": scheme,
        "strideH": height.stride,
        "strideW": width.stride,
        "filterHeight": height.kernel,
        "filterWidth": width.kernel,
        "fusedActivationFunction": "NONE",
    }
    return build.emit(kind, [x], shape, options)


def coverage(axis: Axis, *, include_pad: bool) -> Array:
    """Elements that each window of an axis divides its sum by, (out,).

    With ``include_pad`` ONNX's own pads count and what a ceiling mode reads beyond them does not.
    """
    low = -axis.before if include_pad else 0
    high = axis.size + axis.after if include_pad else axis.size
    starts = np.arange(axis.out) * axis.stride - axis.before
    taps = starts[:, None] + np.arange(axis.kernel) * axis.dilation
    counts: Array = np.sum((taps >= low) & (taps < high), axis=1)
    return counts


def pooling_windows(node: Node, build: Builder) -> tuple[Axis, Axis]:
    """Read the window of a pool.

    Raises:
        UnsupportedOperatorError: A dilation, or a window without any element: before opset 22 the
            shapes of ceiling mode count windows that start behind the input.
    """
    shape, out = build.shape(node.inputs[0]), build.shape(node.outputs[0])
    axes = windows(node, shape, out, node.attrs["kernel_shape"])
    if any(axis.dilation != 1 and axis.kernel != 1 for axis in axes):
        raise refuse(node, "TFLite's pool has no dilation")
    if any((coverage(axis, include_pad=False) == 0).any() for axis in axes):
        raise refuse(node, "a window lies wholly in the padding")
    return axes


def repeat_edges(build: Builder, x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Repeat the first and last element of an axis: a pad that no maximum can see.

    Every border window also covers the element that is repeated, so the result is exact for any
    sign, and SLICE and CONCATENATION stay in the delegate where PADV2 with -inf does not.
    """
    first = build.slice(x, axis, 0, 1) if before else x
    last = build.slice(x, axis, x.shape[axis] - 1, 1) if after else x
    return build.concat([*[first] * before, x, *[last] * after], axis)


@lowers("MaxPool", layout="nhwc")
def max_pool(node: Node, build: Builder) -> None:
    """MAX_POOL_2D: SAME and VALID ignore what lies outside, other pads are made explicit.

    After a ReLU the pad is zero; elsewhere the border is repeated.
    """
    if len(node.outputs) > 1 and node.outputs[1]:
        raise refuse(node, "the indices of the maxima are not lowered")
    channels = build.shape(node.inputs[0])[1]
    axes = pooling_windows(node, build)
    x = image(build, node.inputs[0])
    scheme = padding(axes)
    if scheme is None:
        scheme = "VALID"
        if node.inputs[0] in build.non_negative or is_non_negative(build, x):
            x = build.pad(x, [(0, 0), axes[0].pads, axes[1].pads, (0, 0)])
        else:
            for index, axis in enumerate(axes):
                x = repeat_edges(build, x, 1 + index, *axis.pads)
    bind_image(build, node.outputs[0], pool(build, "MAX_POOL_2D", x, axes, scheme, channels))


@lowers("AveragePool", layout="nhwc")
def average_pool(node: Node, build: Builder) -> None:
    """AVERAGE_POOL_2D; its SAME leaves the padding out of the divisor, an explicit PAD does not.

    Where ONNX divides by something else, the result is scaled by a constant map.
    """
    channels = build.shape(node.inputs[0])[1]
    axes = pooling_windows(node, build)
    include_pad = bool(node.attrs.get("count_include_pad", 0))
    x = image(build, node.inputs[0])
    scheme = padding(axes)
    wanted = [coverage(axis, include_pad=include_pad) for axis in axes]
    inside = [coverage(axis, include_pad=False) for axis in axes]
    same_divisor = all((w == i).all() for w, i in zip(wanted, inside, strict=True))
    if scheme is not None and same_divisor:
        y = pool(build, "AVERAGE_POOL_2D", x, axes, scheme, channels)
    else:
        x = build.pad(x, [(0, 0), axes[0].pads, axes[1].pads, (0, 0)])
        y = pool(build, "AVERAGE_POOL_2D", x, axes, "VALID", channels)
        taps = axes[0].kernel * axes[1].kernel
        scale = taps / np.multiply.outer(wanted[0], wanted[1]).astype(np.float64)
        if (scale != 1).any():
            y = build.binary("MUL", y, build.const_tensor("divisor", scale[:, :, None]))
    bind_image(build, node.outputs[0], y)


@lowers("GlobalAveragePool", "GlobalMaxPool", layout="nhwc")
def global_pool(node: Node, build: Builder) -> None:
    """MEAN or REDUCE_MAX over every spatial axis, kept at size one."""
    kind = "MEAN" if node.op_type == "GlobalAveragePool" else "REDUCE_MAX"
    value = build.value(node.inputs[0])
    shape = build.shape(node.inputs[0])
    order = value.order
    x = value.tensor
    if len(shape) == 4 and order == identity(4):
        x, order = build.nhwc(node.inputs[0]), NHWC
    axes = sorted(order.index(axis) for axis in range(2, len(shape)))
    kept = [1 if i in axes else d for i, d in enumerate(x.shape)]
    operand = build.const_tensor("axes", axes, np.int32)
    build.bind(node.outputs[0], build.emit(kind, [x, operand], kept, {"keepDims": True}), order)
