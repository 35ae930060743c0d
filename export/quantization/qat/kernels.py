"""The integer arithmetic of `integer_reference` as differentiable float32 operators.

A stored value is carried as its integers without the zero point, in a float32 tensor. Every sum
of a network is below 2 ** 24, up to where float32 counts exactly, and what a fast convolution
rounds on the way is rounded away again: so each operator returns the very integers of the
reference. Backwards a rounding is passed straight through, and a saturation passes nothing.
Source of the straight-through estimator: Estimating or Propagating Gradients Through Stochastic
Neurons for Conditional Computation, https://arxiv.org/abs/1308.3432.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from export.quantization.scales import QMAX, QMIN, weight_scales
from export.quantization.tables import round_entries

__all__ = [
    "add",
    "average",
    "look_up",
    "quantize",
    "requantize",
    "round_bias",
    "round_through",
    "round_weight",
]


class _Through(torch.autograd.Function):
    """Return `exact`, and give the gradient to `smooth`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(smooth: Tensor, exact: Tensor) -> Tensor:
        return exact.view_as(exact)  # a tensor of its own for autograd, without a copy

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]  # one output
        return gradient, None


class _Saturate(torch.autograd.Function):
    """Round to whole numbers between two limits; what is beyond them gets no gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        rounded = torch.round(tensor)
        saturated = rounded.clamp(low, high)
        return saturated, saturated == rounded

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]  # as many as returned
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


def round_through(tensor: Tensor) -> Tensor:
    """Round half to even; backwards nothing happens."""
    rounded: Tensor = _Through.apply(tensor, torch.round(tensor.detach()))
    return rounded


def quantize(tensor: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Return the integers, without the zero point, that a float tensor is stored as."""
    return _saturate(tensor * (1.0 / scale), zero_point)


def requantize(total: Tensor, factor: Tensor, zero_point: Tensor) -> Tensor:
    """Multiply exact sums by a float32 factor, round and saturate."""
    return _saturate(total * factor, zero_point)


def _saturate(units: Tensor, zero_point: Tensor) -> Tensor:
    saturated: Tensor = _Saturate.apply(units, QMIN - zero_point, QMAX - zero_point)[0]
    return saturated


def add(pair: Sequence[Tensor], factors: Sequence[Tensor], zero_point: Tensor) -> Tensor:
    """Add two operands of other scales, as XNNPACK does: in whole multiples of 2 ** -shift.

    Args:
        pair: Integers without their zero points.
        factors: Scale of each over that of the result, float32.
        zero_point: Of the result.
    """
    smooth = pair[0] * factors[0] + pair[1] * factors[1]
    exact_factors = torch.stack(list(factors)).detach().double()
    shift = 20 - (torch.frexp(exact_factors.max())[1] - 1)
    multipliers = torch.round(torch.ldexp(exact_factors, shift))
    total = pair[0].detach().double() * multipliers[0] + pair[1].detach().double() * multipliers[1]
    unit = torch.ldexp(torch.ones_like(multipliers[0]), shift)
    exact = torch.floor((total + unit / 2) / unit).to(smooth.dtype)
    summed: Tensor = _Through.apply(smooth, exact)
    return _saturate(summed, zero_point)


def average(
    total: Tensor, count: int, scales: tuple[Tensor, Tensor], zero_points: tuple[Tensor, Tensor]
) -> Tensor:
    """Average integers as XNNPACK does: both zero points are one float32 summand.

    Args:
        total: Sums of integers without their zero point.
        count: How many each is the sum of.
        scales: Of the source and of the result.
        zero_points: The same.
    """
    (own_scale, scale), (own_zero, zero) = scales, zero_points
    factor = (own_scale / scale) * (1.0 / count)
    offset = zero - own_zero * count * factor
    exact = torch.round((total + own_zero * count).detach() * factor + offset) - zero
    averaged: Tensor = _Through.apply(total * factor, exact)
    return _saturate(averaged, zero)


def look_up(
    function: Callable[[Tensor], Tensor], numbers: Tensor, scale: Tensor, zero_point: Tensor
) -> Tensor:
    """Store what an operator of `TABLES` makes of stored numbers."""
    smooth = function(numbers)
    exact = round_entries(smooth.detach(), scale, zero_point).to(smooth.dtype) - zero_point
    found: Tensor = _Through.apply(smooth / scale, exact)
    return _saturate(found, zero_point)


def round_weight(weight: Tensor, bias: Tensor, input_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return a layer's stored weight, whole numbers, and its scale per output channel."""
    with torch.no_grad():
        scales = weight_scales(weight, bias, input_scale)
        columns = scales.reshape(-1, *[1] * (weight.dim() - 1))
        exact = torch.round(weight.double() / columns).clamp(-QMAX, QMAX).to(weight.dtype)
    whole: Tensor = _Through.apply(weight / columns, exact)
    return whole, scales


def round_bias(bias: Tensor, input_scale: Tensor, scales: Tensor) -> Tensor:
    """Return a layer's stored bias, whole numbers in units of both scales."""
    return round_through(bias.double() / (input_scale.double() * scales.double())).to(bias.dtype)
