"""Activations: Relu, Clip, HardSwish, HardSigmoid, Sigmoid, Gelu, Elu, PRelu and their kin."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.layout import transpose_constant
from export.onnx_to_tflite.ops import NUMBERS, lowers
from export.onnx_to_tflite.reader import Node, refuse


@lowers("Relu", layout="any")
def relu(node: Node, build: Builder) -> None:
    """RELU; a later pass fuses it into the operator before."""
    value = build.value(node.inputs[0])
    build.bind(node.outputs[0], build.unary("RELU", value.tensor), value.order)


def clamp(build: Builder, x: Tensor, low: float, high: float) -> Tensor:
    """Limit a tensor, by an activation that can be fused where one fits.

    RELU_N1_TO_1 is delegated and fusable, RELU_0_TO_1 is not delegated, so it is RELU and MINIMUM.
    """
    if x.dtype != np.float32:
        if low != -np.inf:
            x = build.binary("MAXIMUM", x, build.number(x, low))
        return x if high == np.inf else build.binary("MINIMUM", x, build.number(x, high))
    if (low, high) == (0.0, 6.0):
        return build.unary("RELU6", x)
    if (low, high) == (-1.0, 1.0):
        return build.unary("RELU_N1_TO_1", x)
    if low == 0.0:
        x = build.unary("RELU", x)
    elif low != -np.inf:
        x = build.binary("MAXIMUM", x, build.const_tensor("low", low))
    if high != np.inf:
        x = build.binary("MINIMUM", x, build.const_tensor("high", high))
    return x


@lowers("Clip", layout="any", types=NUMBERS)
def clip(node: Node, build: Builder) -> None:
    """Clip between constant limits."""
    low, high = -np.inf, np.inf
    if node.input(1):
        low = build.need_const(node, 1, "the lower limit").reshape(()).item()
    if node.input(2):
        high = build.need_const(node, 2, "the upper limit").reshape(()).item()
    value = build.value(node.inputs[0])
    # ONNX: min greater than max makes every element max.
    low = min(low, high)
    build.bind(node.outputs[0], clamp(build, value.tensor, low, high), value.order)


@lowers("HardSigmoid", layout="any")
def hard_sigmoid(node: Node, build: Builder) -> None:
    """RELU6(6 alpha x + 6 beta) / 6: the sum and RELU6 fuse, often into the convolution before."""
    alpha = np.float32(node.attrs.get("alpha", 0.2))
    beta = np.float32(node.attrs.get("beta", 0.5))
    value = build.value(node.inputs[0])
    x = value.tensor
    scale, shift = np.float32(6) * alpha, np.float32(6) * beta
    if scale != 1:
        x = build.binary("MUL", x, build.const_tensor("scale", scale))
    x = build.binary("ADD", x, build.const_tensor("shift", shift))
    x = build.unary("RELU6", x)
    x = build.binary("MUL", x, build.const_tensor("sixth", np.float32(1) / np.float32(6)))
    build.bind(node.outputs[0], x, value.order)


@lowers("HardSwish", layout="any")
def hard_swish(node: Node, build: Builder) -> None:
    """HARD_SWISH: one delegated kernel in float."""
    value = build.value(node.inputs[0])
    build.bind(node.outputs[0], build.unary("HARD_SWISH", value.tensor), value.order)


SIMPLE = {
    "Ceil": "CEIL",
    "Cos": "COS",
    "Exp": "EXP",
    "Floor": "FLOOR",
    "Log": "LOG",
    "Round": "ROUND",
    "Sigmoid": "LOGISTIC",
    "Sin": "SIN",
    "Sqrt": "SQRT",
    "Tanh": "TANH",
}


@lowers(*SIMPLE, layout="any")
def simple(node: Node, build: Builder) -> None:
    """Operators with a TFLite twin of the same meaning."""
    value = build.value(node.inputs[0])
    build.bind(node.outputs[0], build.unary(SIMPLE[node.op_type], value.tensor), value.order)


@lowers("Neg", layout="any", types=NUMBERS)
def negate(node: Node, build: Builder) -> None:
    """NEG."""
    value = build.value(node.inputs[0])
    build.bind(node.outputs[0], build.unary("NEG", value.tensor), value.order)


@lowers("Abs", layout="any", types=NUMBERS)
def absolute(node: Node, build: Builder) -> None:
    """ABS; of an integer the larger of it and its negative, ABS has no int64."""
    value = build.value(node.inputs[0])
    x = value.tensor
    if x.dtype == np.float32:
        y = build.unary("ABS", x)
    else:
        y = build.binary("MAXIMUM", x, build.unary("NEG", x))
    build.bind(node.outputs[0], y, value.order)


@lowers("Sign", layout="any", types=NUMBERS)
def sign(node: Node, build: Builder) -> None:
    """SIGN; of an integer (x > 0) - (x < 0), SIGN has no int64."""
    value = build.value(node.inputs[0])
    x = value.tensor
    if x.dtype == np.float32:
        y = build.unary("SIGN", x)
    else:
        zero = build.number(x, 0)
        above, below = (build.binary(kind, x, zero) for kind in ("GREATER", "LESS"))
        y = build.binary("SUB", build.cast(above, x.dtype), build.cast(below, x.dtype))
    build.bind(node.outputs[0], y, value.order)


@lowers("Softsign", layout="any")
def softsign(node: Node, build: Builder) -> None:
    """ABS, ADD and DIV."""
    value = build.value(node.inputs[0])
    x = value.tensor
    grown = build.binary("ADD", build.unary("ABS", x), build.const_tensor("one", 1.0))
    build.bind(node.outputs[0], build.binary("DIV", x, grown), value.order)


@lowers("Shrink", layout="any")
def shrink(node: Node, build: Builder) -> None:
    """What lies beyond the limits: the soft form is delegated, others need comparisons."""
    limit, bias = node.attrs.get("lambd", 0.5), node.attrs.get("bias", 0.0)
    value = build.value(node.inputs[0])
    x = value.tensor
    if limit == bias and limit >= 0:
        y = build.binary("SUB", x, clamp(build, x, -limit, limit))
    else:
        zero = build.const_tensor("zero", 0.0)
        shift = build.const_tensor("bias", bias)
        below = build.binary("LESS", x, build.const_tensor("low", -limit))
        above = build.binary("GREATER", x, build.const_tensor("high", limit))
        raised = build.binary("ADD", x, shift) if bias else x
        lowered = build.binary("SUB", x, shift) if bias else x
        y = build.emit("SELECT_V2", [below, raised, zero], x.shape, dtype=x.dtype)
        y = build.emit("SELECT_V2", [above, lowered, y], x.shape, dtype=x.dtype)
    build.bind(node.outputs[0], y, value.order)


@lowers("ThresholdedRelu", layout="any")
def thresholded_relu(node: Node, build: Builder) -> None:
    """X above the threshold, else zero."""
    value = build.value(node.inputs[0])
    x = value.tensor
    above = build.binary("GREATER", x, build.const_tensor("alpha", node.attrs.get("alpha", 1.0)))
    y = build.emit("SELECT_V2", [above, x, build.const_tensor("zero", 0.0)], x.shape, dtype=x.dtype)
    build.bind(node.outputs[0], y, value.order)


@lowers("Reciprocal", layout="any")
def reciprocal(node: Node, build: Builder) -> None:
    """1 / x."""
    value = build.value(node.inputs[0])
    one = build.const_tensor("one", 1.0)
    build.bind(node.outputs[0], build.binary("DIV", one, value.tensor), value.order)


@lowers("Gelu", layout="any")
def gelu(node: Node, build: Builder) -> None:
    """GELU, exact or by tanh as the node says."""
    approximate = node.attrs.get("approximate", "none") == "tanh"
    value = build.value(node.inputs[0])
    y = build.unary("GELU", value.tensor, {"approximate": approximate})
    build.bind(node.outputs[0], y, value.order)


@lowers("LeakyRelu", layout="any")
def leaky_relu(node: Node, build: Builder) -> None:
    """LEAKY_RELU."""
    value = build.value(node.inputs[0])
    y = build.unary("LEAKY_RELU", value.tensor, {"alpha": float(node.attrs.get("alpha", 0.01))})
    build.bind(node.outputs[0], y, value.order)


def scaled_elu(build: Builder, x: Tensor, alpha: float, gamma: float) -> Tensor:
    """Gamma * (x if x > 0 else alpha * (exp(x) - 1)) from ELU, whose alpha is one."""
    if alpha == 1.0:
        y = build.unary("ELU", x)
    else:
        negative = build.binary("MINIMUM", build.unary("ELU", x), build.const_tensor("zero", 0.0))
        scaled = build.binary("MUL", negative, build.const_tensor("alpha", alpha))
        y = build.binary("ADD", build.unary("RELU", x), scaled)
    return y if gamma == 1.0 else build.binary("MUL", y, build.const_tensor("gamma", gamma))


@lowers("Elu", "Selu", "Celu", layout="any")
def elu(node: Node, build: Builder) -> None:
    """The exponential linear family."""
    value = build.value(node.inputs[0])
    x = value.tensor
    if node.op_type == "Elu":
        y = scaled_elu(build, x, node.attrs.get("alpha", 1.0), 1.0)
    elif node.op_type == "Selu":
        alpha = node.attrs.get("alpha", 1.6732632423543772)
        y = scaled_elu(build, x, alpha, node.attrs.get("gamma", 1.0507009873554805))
    else:
        alpha = float(node.attrs.get("alpha", 1.0))
        # alpha * (exp(x / alpha) - 1) below zero: ELU of the scaled argument, scaled back.
        if alpha <= 0:
            raise refuse(node, f"alpha is {alpha}, only positive ones are lowered")
        if alpha == 1.0:
            y = build.unary("ELU", x)
        else:
            inner = build.binary("MUL", x, build.const_tensor("inverse", 1.0 / alpha))
            negative = build.binary(
                "MINIMUM", build.unary("ELU", inner), build.const_tensor("zero", 0.0)
            )
            scaled = build.binary("MUL", negative, build.const_tensor("alpha", alpha))
            y = build.binary("ADD", build.unary("RELU", x), scaled)
    build.bind(node.outputs[0], y, value.order)


@lowers("PRelu", layout="any")
def prelu(node: Node, build: Builder) -> None:
    """PRELU with one slope per channel, otherwise RELU(x) + slope * MINIMUM(x, 0)."""
    slope = build.need_const(node, 1, "the slope").astype(np.float32)
    value = build.value(node.inputs[0])
    x = value.tensor
    rank = len(x.shape)
    slope = slope.reshape((1,) * (rank - slope.ndim) + slope.shape)
    stored = transpose_constant(slope, value.order)
    if rank == 4 and stored.size == stored.shape[-1] == x.shape[-1]:
        y = build.emit("PRELU", [x, build.const_tensor("slope", stored[0])], x.shape)
    else:
        negative = build.binary("MINIMUM", x, build.const_tensor("zero", 0.0))
        scaled = build.binary("MUL", negative, build.const_tensor("slope", stored))
        y = build.binary("ADD", build.unary("RELU", x), scaled)
    build.bind(node.outputs[0], y, value.order)


@lowers("Softplus", layout="any")
def softplus(node: Node, build: Builder) -> None:
    """Log(1 + exp(x)), as RELU(x) + log(1 + exp(-|x|)) so that large inputs do not overflow."""
    value = build.value(node.inputs[0])
    x = value.tensor
    decayed = build.unary("EXP", build.unary("NEG", build.unary("ABS", x)))
    grown = build.binary("ADD", decayed, build.const_tensor("one", 1.0))
    y = build.binary("ADD", build.unary("RELU", x), build.unary("LOG", grown))
    build.bind(node.outputs[0], y, value.order)
