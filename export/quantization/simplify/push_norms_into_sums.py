"""A batch norm of a sum moves in front of it: into the convolution that makes one operand.

Reason: before its norm a sum can have one channel of a range many times the others', and 8 bits a
tensor then leave nothing of those. ShuffleNetV2's padding-free units have such norms: one of three
trained networks lost four points to a single one. Behind the norm channels are alike.

Algebra: s (W x + b + y) + t = ((s W) x + (s b + t)) + s y per channel; s y is a depthwise
convolution of one tap, or goes into the convolution that makes y.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from export.quantization.simplify.convolve_batch_norms import find_affine

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many norms were moved."""
    rewrites = 0
    for norm in calls(graph, aten.batch_norm.default):
        total = norm.args[0]
        affine = find_affine(norm)
        if affine is None or not is_call(total, aten.add.Tensor) or not _is_plain(total):
            continue
        pair = total.args[:2]
        made = [x for x in pair if isinstance(x, fx.Node) and _is_scalable(x)]
        if not made:
            continue
        scale, shift = (vector.expand(value(norm).shape[1]) for vector in affine)
        shifts = [shift if x is made[0] else torch.zeros_like(shift) for x in pair]
        new = [
            _scale(total, x, scale, own, into_weights=x in made)
            for x, own in zip(pair, shifts, strict=True)
        ]
        replace(norm, insert(norm, aten.add.Tensor, *new))
        graph.erase_node(total)
        rewrites += 1
    return rewrites


def _is_plain(total: fx.Node) -> bool:
    """Whether a sum is of two maps of its own shape and nothing but the norm reads it."""
    pair = total.args[:2]
    return (
        len(total.users) == 1
        and total.kwargs.get("alpha", 1) == 1
        and pair[0] is not pair[1]
        and all(isinstance(x, fx.Node) and x.op != "get_attr" for x in pair)
        and all(value(x).shape == value(total).shape for x in pair)  # type: ignore[arg-type]  # nodes
    )


def _is_scalable(node: fx.Node) -> bool:
    if not is_call(node, aten.conv2d.default) or len(node.users) > 1:
        return False
    given = arguments(node)
    read: Sequence[fx.Node | None] = (given["weight"], given["bias"])
    return all(n is None or n.op == "get_attr" for n in read)


def _scale(
    total: fx.Node, operand: fx.Node, scale: Tensor, shift: Tensor, *, into_weights: bool
) -> fx.Node:
    columns = scale.reshape(-1, 1, 1, 1)
    if not into_weights:
        taps = constant(total, columns.float().contiguous(), "norm_weight")
        window = [[1, 1], [0, 0], [1, 1]]
        return insert(total, aten.conv2d.default, operand, taps, None, *window, len(scale))
    given = arguments(operand)
    weight = attribute(given["weight"]).double() * columns
    bias = shift + (attribute(given["bias"]).double() * scale if given["bias"] is not None else 0)
    new = {
        **given,
        "weight": constant(operand, weight.float(), "folded_weight"),
        "bias": constant(operand, bias.float(), "folded_bias"),
    }
    scaled = insert(operand, aten.conv2d.default, *new.values())
    scaled.meta["nn_module_stack"] = operand.meta.get("nn_module_stack")  # it is the layer still
    replace(operand, scaled)
    return scaled
