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
        affine, pair = find_affine(norm), _find_operands(norm)
        made = [x for x in pair if _is_scalable(x)]
        if affine is None or not made:
            continue
        (total,) = norm.all_input_nodes[:1]
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


def _find_operands(norm: fx.Node) -> list[fx.Node]:
    """Return the two maps that a norm's sum adds; none where it is no sum of its own of two."""
    total = norm.args[0]
    if not isinstance(total, fx.Node) or not is_call(total, aten.add.Tensor):
        return []
    pair = [x for x in total.args[:2] if isinstance(x, fx.Node) and x.op != "get_attr"]
    is_plain = total.kwargs.get("alpha", 1) == 1 and len(total.users) == 1
    is_of_maps = all(value(x).shape == value(total).shape for x in pair)
    return pair if is_plain and is_of_maps and len(set(pair)) == 2 else []


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
