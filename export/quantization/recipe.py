"""The recipe: ranges from the least and largest value, then biases corrected layer by layer.

Rounding shifts the mean of a layer's output, and the shifts add up with depth. Each layer is
measured with everything before it already quantised and corrected, and its bias takes back the
difference of the means (sequential bias correction). On EfficientNet-Lite0 that is worth eight
decibels; percentiles and moving averages lost against it, see docs/quantization.md.
Source: Data-Free Quantization through Weight Equalization and Bias Correction,
https://arxiv.org/abs/1906.04721, section 4.2, with images where the paper has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from export.passes._editing import arguments, aten, attribute, is_call
from export.quantization.roles import Role, role
from export.quantization.scales import (
    QMAX,
    Affine,
    Range,
    constant_affine,
    fake_quantize,
    weight_scales,
)
from export.quantization.walk import call, walk
from pfd_models.errors import DataError

__all__ = [
    "Corrected",
    "correct_biases",
    "find_ranges",
    "is_layer",
    "mean_shift",
    "round_constants",
    "round_layer",
    "round_node",
    "run_layer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """Weights of a convolution or a linear layer as they are stored.

    Attributes:
        weight: Whole numbers -127 to 127, int8.
        scales: Of each output channel, float32.
        bias: Whole numbers in units of input scale times `scales`, int32.
    """

    weight: Tensor
    scales: Tensor
    bias: Tensor


def find_ranges(graph: fx.Graph, samples: Sequence[Sequence[Tensor]]) -> dict[fx.Node, Range]:
    """Return the least and the largest number of each float value over all samples.

    Raises:
        DataError: A value is not finite, or the network cannot be run on a sample.
    """
    ranges = {}
    for node, values in walk(graph, samples, _call_or_refuse):
        if not isinstance(values[0], Tensor) or not values[0].is_floating_point():
            continue
        low = min(float(v.min()) for v in values)
        high = max(float(v.max()) for v in values)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError(
                f"{node.name} has values that are not finite on the calibration data, so it has no "
                "range; look for NaN in the weights and in the data"
            )
        ranges[node] = Range(low=low, high=high)
    return ranges


def _call_or_refuse(node: fx.Node, operands: list[Any]) -> Any:
    try:
        return call(node, operands)
    except (IndexError, RuntimeError) as error:  # an index beyond what it points into
        line = str(error).splitlines()[0]
        raise DataError(
            f"{node.name} cannot be computed on the calibration data: {line}; look for indices out "
            "of range in the data"
        ) from error


def correct_biases(
    graph: fx.Graph,
    samples: Sequence[Sequence[Tensor]],
    affines: Mapping[fx.Node, Affine],
    *,
    correct: bool = True,
) -> dict[fx.Node, Corrected]:
    """Quantise every layer's weights, and take back what rounding does to its mean.

    The float network and the quantised one are walked side by side.

    Args:
        graph: Simplified, in float.
        samples: Of the calibration data.
        affines: From `choose_scales`.
        correct: False only rounds.
    """
    layers: dict[fx.Node, Corrected] = {}

    def compute(node: fx.Node, given: list[Any]) -> Any:
        if role(node) is not Role.INTEGER:
            return call(node, given)
        if not is_layer(node):
            return call(node, round_constants(node, given, affines))
        if node not in layers:
            layers[node] = round_node(node, affines[node.all_input_nodes[0]])
        return run_layer(node, layers[node], given[0], affines)

    exact, rounded = walk(graph, samples, call), walk(graph, samples, compute)
    for (node, wanted), (_, found) in zip(exact, rounded, strict=True):
        if correct and node in layers:
            step = affines[node.all_input_nodes[0]].scale * layers[node].scales
            units = torch.round(mean_shift(wanted, found) / step)
            layers[node] = replace(layers[node], bias=layers[node].bias + units.to(torch.int32))
            shape = [-1, *[1] * (found[0].dim() - 2)]
            found[:] = [value + (units * step).reshape(shape) for value in found]
        if node in affines:
            found[:] = [fake_quantize(value, affines[node]) for value in found]
    return layers


def is_layer(node: fx.Node) -> bool:
    """Whether a node has weights that are stored in 8 bits."""
    return is_call(node, aten.conv2d.default, aten.linear.default) and role(node) is Role.INTEGER


def round_node(node: fx.Node, source: Affine) -> Corrected:
    """Round a layer of a graph; see `round_layer`."""
    given = arguments(node)
    bias = attribute(given["bias"]) if given["bias"] is not None else None
    return round_layer(attribute(given["weight"]), bias, source)


def round_layer(weight: Tensor, bias: Tensor | None, source: Affine) -> Corrected:
    """Round a layer's weights to what is stored.

    Args:
        weight: Output channels first.
        bias: Of each output channel; None stands for zeros.
        source: How the layer's input is stored.
    """
    scales = weight_scales(weight, bias, source.scale)
    columns = scales.reshape(-1, *[1] * (weight.dim() - 1))
    whole = torch.round(weight.double() / columns).clamp(-QMAX, QMAX).to(torch.int8)
    if bias is None:
        bias = torch.zeros(len(scales))
    units = torch.round(bias.double() / (source.scale * scales.double())).to(torch.int32)
    return Corrected(weight=whole, scales=scales, bias=units)


def run_layer(
    node: fx.Node, layer: Corrected, source: Tensor, affines: Mapping[fx.Node, Affine]
) -> Tensor:
    """Return what a layer with stored weights makes of numbers, float32.

    Args:
        node: The layer.
        layer: Its stored weights.
        source: What it reads.
        affines: From `choose_scales`.
    """
    given = arguments(node)
    columns = layer.scales.reshape(-1, *[1] * (layer.weight.dim() - 1))
    step = affines[node.all_input_nodes[0]].scale * layer.scales
    rest = list(given.values())[3:]
    result: Tensor = node.target(source, layer.weight * columns, layer.bias * step, *rest)  # type: ignore[operator]  # a call
    return result


def round_constants(
    node: fx.Node, given: list[Tensor], affines: Mapping[fx.Node, Affine]
) -> list[Tensor]:
    """Return an operator's operands, its constants as far as 8 bits hold them."""
    return [
        fake_quantize(tensor, constant_affine(node, tensor, affines))
        if operand.op == "get_attr"
        else tensor
        for operand, tensor in zip(node.all_input_nodes, given, strict=True)
    ]


def mean_shift(wanted: list[Tensor], found: list[Tensor]) -> Tensor:
    """Return the mean difference per channel, over samples and positions."""
    shifts = [(w.double() - f.double()) for w, f in zip(wanted, found, strict=True)]
    means = [s.mean([d for d in range(s.dim()) if d != 1]) for s in shifts]
    return torch.stack(means).mean(0).float()
