"""Fold a scale or shift per channel into the weights of the operator before or behind it.

y = s * (W x + b) + t is (s W) x + (s b + t), and W (s x + t) + b is (W s) x + (W t + b): the
batch normalisations and hard-sigmoid shifts that the exporter leaves cost nothing then. The
products are formed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.onnx_to_tflite.graph import Array, Graph, Op, Tensor, constant
from export.onnx_to_tflite.push_through_concat import push_through_concat

__all__ = ["fold_affine"]

#: Operators with weights and the axis of the weights that runs over output channels.
OUTPUT_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
AFFINE = frozenset({"ADD", "DIV", "MUL", "SUB"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """y = scale * x + shift, one number per channel, of the operator that reads ``source``."""

    source: Tensor
    scale: Array
    shift: Array


def fold_affine(graph: Graph) -> None:
    """Fold backwards into producers until nothing changes, then forwards into readers."""
    while _fold_once(graph, _backwards) or push_through_concat(graph, _can_fold):
        graph.prune()
    while _fold_once(graph, _forwards):
        graph.prune()


def _can_fold(producer: Op, op: Op) -> bool:
    """Whether an operator, seen through a concatenation, folds into the maker of a part."""
    return (
        producer.activation == "NONE" and _weights(producer) is not None and affine(op) is not None
    )


def _fold_once(graph: Graph, fold: Callable[[Op, Op], Op | None]) -> bool:
    """Apply one kind of fold to the first operators that allow it."""
    uses, producers = graph.use_counts(), graph.producers()
    changed: dict[Op, Op] = {}
    dropped: set[Op] = set()
    for op in graph.ops:
        computed = [t for t in op.inputs if t is not None and t in producers]
        if len(computed) != 1 or producers[computed[0]] in changed:
            continue
        producer = producers[computed[0]]
        if uses[producer.outputs[0]] != 1 or producer.activation != "NONE":
            continue
        pair = fold(producer, op)
        if pair is None:
            continue
        changed[op] = pair
        dropped.add(producer)
    graph.ops = [changed.get(op, op) for op in graph.ops if op not in dropped]
    return bool(changed)


def affine(op: Op) -> Affine | None:
    """Read an elementwise operator with one constant that varies along channels at most."""
    if op.kind not in AFFINE or op.output.dtype != np.float32:
        return None
    left, right = op.inputs
    if left is None or right is None or (left.data is None) == (right.data is None):
        return None
    source, number = (left, right.data) if left.data is None else (right, left.data)
    if number is None or not source.shape or source.shape != op.output.shape:
        return None
    channels = source.shape[-1]
    if number.size not in (1, channels) or (number.size > 1 and number.shape[-1] != channels):
        return None
    value = np.broadcast_to(number.reshape(-1).astype(np.float64), (channels,))
    if not np.isfinite(value).all():
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    if op.kind == "MUL":
        return Affine(source=source, scale=value, shift=zero)
    if op.kind == "ADD":
        return Affine(source=source, scale=one, shift=value)
    if op.kind == "SUB":
        if right.data is None:
            return Affine(source=source, scale=-one, shift=value)
        return Affine(source=source, scale=one, shift=-value)
    if right.data is None or not value.all():
        return None
    return Affine(source=source, scale=1 / value, shift=zero)


def _weights(op: Op) -> tuple[Tensor, Tensor] | None:
    """Kernel and bias of an operator that has constant ones."""
    if op.kind not in OUTPUT_AXIS or len(op.inputs) != 3:
        return None
    kernel, bias = op.inputs[1], op.inputs[2]
    if kernel is None or bias is None or kernel.data is None or bias.data is None:
        return None
    return kernel, bias


def _with_weights(op: Op, kernel: Array, bias: Array) -> Op:
    old_kernel, old_bias = op.inputs[1], op.inputs[2]
    if old_kernel is None or old_bias is None:
        raise ValueError(f"{op.kind}: the weights are absent")
    return op.with_fields(
        inputs=(
            op.inputs[0],
            constant(old_kernel.name, kernel.astype(old_kernel.dtype)),
            constant(old_bias.name, bias.astype(old_bias.dtype)),
        )
    )


def _backwards(producer: Op, op: Op) -> Op | None:
    """Return the weighted producer with the affine reader folded into it."""
    rule, weights = affine(op), _weights(producer)
    if rule is None or weights is None or rule.source is not producer.outputs[0]:
        return None
    kernel, bias = weights
    if kernel.data is None or bias.data is None:
        return None
    axis = OUTPUT_AXIS[producer.kind]
    shape = [1] * kernel.data.ndim
    shape[axis] = -1
    folded = _with_weights(
        producer,
        kernel.data * rule.scale.reshape(shape),
        bias.data * rule.scale + rule.shift,
    )
    return folded.with_fields(outputs=op.outputs).with_options(
        fusedActivationFunction=op.activation
    )


def _forwards(producer: Op, op: Op) -> Op | None:
    """Return the weighted reader with the affine producer folded into it.

    A shift does not pass a padded border, where the reader sees zeros instead.
    """
    rule, weights = affine(producer), _weights(op)
    if rule is None or weights is None or op.inputs[0] is not producer.outputs[0]:
        return None
    kernel, bias = weights
    if kernel.data is None or bias.data is None or op.options.get("padding") == "SAME":
        return None
    wide = kernel.data.astype(np.float64)
    if op.kind == "DEPTHWISE_CONV_2D":
        repeat = wide.shape[3] // rule.scale.size
        scale, shift = np.repeat(rule.scale, repeat), np.repeat(rule.shift, repeat)
        folded, moved = wide * scale, (wide * shift).sum((0, 1, 2))
    elif wide.shape[-1] != rule.scale.size:
        return None  # grouped, or a flattened map
    else:
        folded = wide * rule.scale
        moved = (wide * rule.shift).reshape(wide.shape[0], -1).sum(1)
    result = _with_weights(op, folded, bias.data + moved)
    return result.with_fields(inputs=(rule.source, *result.inputs[1:]))
