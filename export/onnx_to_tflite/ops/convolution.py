"""Conv and ConvTranspose: CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array, Tensor, constant
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.window import Axis, bind_image, image, padding, windows


def as_2d(kernel: Array) -> Array:
    """Give the kernel of a signal, (O, I, K), a height of one."""
    return kernel[:, :, None, :] if kernel.ndim == 3 else kernel


def pad_operand(build: Builder, x: Tensor, axes: Sequence[Axis]) -> tuple[Tensor, str]:
    """Return the operand and scheme of a convolution.

    A PAD is made for this reader alone: XNNPACK merges a zero PAD into the convolution behind it
    only while nothing else reads the padded tensor.
    """
    scheme = padding(axes)
    if scheme is not None:
        return x, scheme
    height, width = axes
    return build.pad(x, [(0, 0), height.pads, width.pads, (0, 0)]), "VALID"


def bias_of(node: Node, build: Builder, channels: int) -> Tensor:
    """The bias of a convolution, zeros where there is none."""
    if not node.input(2):
        return build.const_tensor("zero_bias", np.zeros(channels))
    return constant(node.input(2), build.need_const(node, 2, "the bias"))


@lowers("Conv", layout="nhwc")
def conv(node: Node, build: Builder) -> None:
    """CONV_2D, or DEPTHWISE_CONV_2D where each group has one input channel."""
    weight = as_2d(build.need_const(node, 1, "the kernel"))  # (O, I / groups, KH, KW)
    shape, out = build.shape(node.inputs[0]), build.shape(node.outputs[0])
    axes = windows(node, shape, out, weight.shape[4 - (len(shape) - 2) :])
    groups = node.attrs.get("group", 1)
    x, scheme = pad_operand(build, image(build, node.inputs[0]), axes)
    height, width = axes
    options: dict[str, object] = {
        "padding": scheme,
        "strideH": height.stride,
        "strideW": width.stride,
        "dilationHFactor": height.dilation,
        "dilationWFactor": width.dilation,
        "fusedActivationFunction": "NONE",
    }
    if groups > 1 and weight.shape[1] == 1:
        kind = "DEPTHWISE_CONV_2D"
        stored = np.transpose(weight, (1, 2, 3, 0))  # (1, KH, KW, O)
        options["depthMultiplier"] = weight.shape[0] // groups
    else:
        kind = "CONV_2D"
        stored = np.transpose(weight, (0, 2, 3, 1))  # (O, KH, KW, I / groups)
    kernel = constant(node.inputs[1], np.ascontiguousarray(stored))
    bias = bias_of(node, build, weight.shape[0])
    result = (out[0], height.out, width.out, out[1])
    bind_image(build, node.outputs[0], build.emit(kind, [x, kernel, bias], result, options))


@lowers("ConvTranspose", layout="nhwc")
def conv_transpose(node: Node, build: Builder) -> None:
    """TRANSPOSE_CONV without padding, then SLICE for ONNX's pads.

    Dilation and output padding become zeros inside and behind the kernel; groups become one
    operator each.
    """
    weight = as_2d(build.need_const(node, 1, "the kernel"))  # (I, O / groups, KH, KW)
    shape, out = build.shape(node.inputs[0]), build.shape(node.outputs[0])
    spatial = len(shape) - 2
    if spatial not in (1, 2):
        raise refuse(node, f"the input has {spatial} spatial axes, only one and two are lowered")
    lead = [1] * (2 - spatial)
    strides = lead + list(node.attrs.get("strides") or [1] * spatial)
    dilations = lead + list(node.attrs.get("dilations") or [1] * spatial)
    sizes, results = lead + list(shape[2:]), lead + list(out[2:])
    crops = [
        crop_before(node, axis, spatial, sizes, results, strides, dilations, weight.shape[2:])
        for axis in range(2)
    ]
    kernel = dilate(weight, dilations)
    # What the taps reach, and what the caller wants: more than that is output padding.
    grow = [
        max(crops[i] + results[i] - ((sizes[i] - 1) * strides[i] + kernel.shape[2 + i]), 0)
        for i in range(2)
    ]
    kernel = np.pad(kernel, [(0, 0), (0, 0), (0, grow[0]), (0, grow[1])])
    full = [(sizes[i] - 1) * strides[i] + kernel.shape[2 + i] for i in range(2)]
    groups = node.attrs.get("group", 1)
    x = image(build, node.inputs[0])
    bias = bias_of(node, build, out[1])
    y = grouped_transpose_conv(build, x, kernel, bias, groups=groups, full=full, strides=strides)
    for i in range(2):
        y = build.slice(y, 1 + i, crops[i], results[i])
    bind_image(build, node.outputs[0], y)


def crop_before(
    node: Node,
    axis: int,
    spatial: int,
    sizes: Sequence[int],
    results: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    kernel: Sequence[int],
) -> int:
    """Elements that ONNX's pads cut off in front of one axis of a transposed convolution."""
    index = axis - (2 - spatial)
    if index < 0:
        return 0
    extra = (node.attrs.get("output_padding") or [0] * spatial)[index]
    auto_pad = node.attrs.get("auto_pad", "NOTSET")
    if auto_pad == "NOTSET" and "output_shape" not in node.attrs:
        return int((node.attrs.get("pads") or [0] * (2 * spatial))[index])
    if auto_pad == "VALID":
        return 0
    reach = (kernel[axis] - 1) * dilations[axis] + 1
    total: int = max((sizes[axis] - 1) * strides[axis] + extra + reach - results[axis], 0)
    return total // 2 if auto_pad == "SAME_UPPER" else total - total // 2


def dilate(kernel: Array, dilations: Sequence[int]) -> Array:
    """Put zeros between the taps."""
    extents = [(k - 1) * d + 1 for k, d in zip(kernel.shape[2:], dilations, strict=True)]
    spread = np.zeros((*kernel.shape[:2], *extents), kernel.dtype)
    spread[:, :, :: dilations[0], :: dilations[1]] = kernel
    return spread


def grouped_transpose_conv(
    build: Builder,
    x: Tensor,
    kernel: Array,
    bias: Tensor,
    *,
    groups: int,
    full: Sequence[int],
    strides: Sequence[int],
) -> Tensor:
    """TRANSPOSE_CONV per group without padding; the bias is added behind them."""
    n, channels = x.shape[0], x.shape[3]
    per_in, per_out = channels // groups, kernel.shape[1]
    parts = []
    for g in range(groups):
        taps = kernel[g * per_in : (g + 1) * per_in]  # (I / groups, O / groups, KH, KW)
        stored = np.ascontiguousarray(np.transpose(taps, (1, 2, 3, 0)))
        shape = (n, full[0], full[1], per_out)
        operands = [
            constant("output_shape", shape),
            constant("kernel", stored),
            build.slice(x, 3, g * per_in, per_in),
        ]
        options = {
            "padding": "VALID",
            "strideH": strides[0],
            "strideW": strides[1],
            "fusedActivationFunction": "NONE",
        }
        parts.append(build.emit("TRANSPOSE_CONV", operands, shape, options, x.dtype))
    y = build.concat(parts, 3)
    if bias.data is not None and not bias.data.any():
        return y
    return build.binary("ADD", y, bias)
