"""The normalisation of an image goes into the weights of the convolution that reads it.

Reason: as operators of their own, a subtraction and a division read and write the whole image, the
largest tensor of many a network, for what the first layer can do on the way.

Algebra: the operators together are s x + t for each channel, and W (s x + t) + b = (W s) x + (b +
W t), s and t per input channel. A convolution that pads adds zeros to s x + t, which are -t / s in
x, another number for each channel, so there the shift stays: W pad(s x + t) = (W s) pad(x + t / s).
The new numbers are computed in float64 and rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from export.passes._editing import (
    arguments,
    aten,
    attribute,
    calls,
    constant,
    insert,
    is_call,
    replace,
    value,
)

__all__ = ["rewrite"]

_STEPS = (
    aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor,
    aten.add.Scalar, aten.sub.Scalar, aten.mul.Scalar, aten.div.Scalar,
)  # fmt: skip
_MOVES = (aten.permute.default, aten.to.dtype, aten._to_copy.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Affine:
    """A value as ``scale * source + shift``, float64, of one element or one for each channel."""

    source: fx.Node
    scale: Tensor
    shift: Tensor
    steps: int


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many operators were folded."""
    rewrites = 0
    for layer in calls(graph, aten.conv2d.default):
        given = arguments(layer)
        affine = _find_affine(given["input"])
        if affine is None or any(
            given[name] is not None and given[name].op != "get_attr" for name in ("weight", "bias")
        ):
            continue
        is_shifted = bool(affine.shift.any())
        is_padded = any(given["padding"])
        if affine.steps == 1 and is_shifted and is_padded and bool((affine.scale == 1).all()):
            continue  # nothing is left to fold
        new = {**given, **_fold(layer, affine, with_shift=not is_padded)}
        new["input"] = affine.source
        if is_shifted and is_padded:
            shift = constant(layer, _column(affine.shift / affine.scale), "pixel_shift",
                             meets=affine.source)  # fmt: skip
            new["input"] = insert(layer, aten.add.Tensor, affine.source, shift)
        replace(layer, insert(layer, layer.target, *new.values()))
        rewrites += affine.steps
    return rewrites


def _find_affine(node: fx.Node) -> _Affine | None:
    """Follow a value back to the image; None where it is not the image, scaled and shifted."""
    chain: list[tuple[object, Tensor]] = []
    while is_call(node, *_STEPS):
        given = arguments(node)
        operand = _number(given["other"], node)
        if operand is None or given.get("alpha", 1) != 1 or len(node.users) > 1:
            return None
        chain.append((node.target, operand))
        node = given["self"]
    if not chain or not _is_image(node):
        return None
    scale, shift = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for target, operand in reversed(chain):
        if target in (aten.add.Tensor, aten.add.Scalar):
            shift = shift + operand
        elif target in (aten.sub.Tensor, aten.sub.Scalar):
            shift = shift - operand
        elif target in (aten.mul.Tensor, aten.mul.Scalar):
            scale, shift = scale * operand, shift * operand
        else:
            scale, shift = scale / operand, shift / operand
    if not bool((scale != 0).all() and scale.isfinite().all() and shift.isfinite().all()):
        return None
    return _Affine(source=node, scale=scale, shift=shift, steps=len(chain))


def _number(operand: object, node: fx.Node) -> Tensor | None:
    """Return a constant as float64 of one element or one for each channel, None otherwise."""
    if isinstance(operand, int | float) and not isinstance(operand, bool):
        return torch.tensor([float(operand)], dtype=torch.float64)
    if not isinstance(operand, fx.Node) or operand.op != "get_attr" or value(node).dim() != 4:
        return None
    tensor = attribute(operand).double()
    shape = [*[1] * (4 - tensor.dim()), *tensor.shape]
    if len(shape) != 4 or tensor.numel() != shape[1]:
        return None
    return tensor.reshape(-1)


def _is_image(node: fx.Node) -> bool:
    """Whether a value is an input of the network, perhaps turned or converted to float."""
    if value(node).dim() != 4 or not value(node).is_floating_point():
        return False
    while is_call(node, *_MOVES) and len(node.users) == 1:
        source = node.args[0]
        assert isinstance(source, fx.Node)
        node = source
    return node.op == "placeholder"


def _fold(layer: fx.Node, affine: _Affine, *, with_shift: bool) -> dict[str, fx.Node]:
    """Return the layer's new weight and bias."""
    given = arguments(layer)
    weight = attribute(given["weight"])
    channels = value(affine.source).shape[1]
    groups = given["groups"]
    # (out, in / groups, kh, kw): the groups share out the input channels in order.
    scale, shift = (
        v.expand(channels).reshape(groups, 1, -1, 1, 1) for v in (affine.scale, affine.shift)
    )
    parts = weight.double().unflatten(0, (groups, -1))
    folded = {
        "weight": constant(layer, (parts * scale).flatten(0, 1).to(weight.dtype), "folded_weight")
    }
    if not with_shift or not bool(shift.any()):
        return folded
    bias = (parts * shift).sum((2, 3, 4)).flatten()
    if given["bias"] is not None:
        bias = bias + attribute(given["bias"]).double()
    return {**folded, "bias": constant(layer, bias.to(weight.dtype), "folded_bias")}


def _column(numbers: Tensor) -> Tensor:
    return numbers.reshape(1, -1, 1, 1)
