"""Channel shuffles, slices and concatenations as views: where each logical channel lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from export.onnx_to_tflite.graph import Array, Graph, Op, Tensor, constant

__all__ = [
    "Shuffle",
    "View",
    "constant_of",
    "find_shuffles",
    "is_channel_concat",
    "is_channel_move",
    "is_channel_slice",
    "ordered_runs",
    "permute",
    "sorted_runs",
]

#: For each logical channel, the tensor that holds it and its place there.
View = tuple[tuple[Tensor, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shuffle:
    """RESHAPE, TRANSPOSE of the two last axes, RESHAPE back.

    Attributes:
        source: What is shuffled.
        ops: The three operators.
        index: Source channel of each result channel.
    """

    source: Tensor
    ops: tuple[Op, Op, Op]
    index: tuple[int, ...]


def find_shuffles(graph: Graph) -> dict[Op, Shuffle]:
    """Find channel shuffles whose inner tensors nobody else reads, by their last operator."""
    producers, uses = graph.producers(), graph.use_counts()
    found = {}
    for last in graph.ops:
        if last.kind != "RESHAPE":
            continue
        middle = producers.get(last.data_input)
        if middle is None or middle.kind != "TRANSPOSE" or uses[middle.output] != 1:
            continue
        first = producers.get(middle.data_input)
        if first is None or first.kind != "RESHAPE" or uses[first.output] != 1:
            continue
        source, apart = first.data_input, first.output.shape
        perm = constant_of(middle.inputs[1]).tolist()
        rank = len(apart)
        swap = [*range(rank - 2), rank - 1, rank - 2]
        if perm != swap or source.shape != last.output.shape or apart[:-2] != source.shape[:-1]:
            continue
        index = np.arange(source.shape[-1]).reshape(apart[-2:]).T.reshape(-1)
        found[last] = Shuffle(
            source=source, ops=(first, middle, last), index=tuple(int(i) for i in index)
        )
    return found


def constant_of(tensor: Tensor | None) -> Array:
    """Value of an operand that a lowering has made a constant."""
    if tensor is None or tensor.data is None:
        raise ValueError("the operand is not a constant")
    return tensor.data


def is_channel_slice(op: Op) -> bool:
    """Whether an operator slices channels and nothing else."""
    return op.kind == "SLICE" and op.data_input.shape[:-1] == op.output.shape[:-1]


def is_channel_concat(op: Op) -> bool:
    """Whether an operator joins channels."""
    return op.kind == "CONCATENATION" and op.options["axis"] == len(op.output.shape) - 1


def is_channel_move(op: Op) -> bool:
    """Whether an operator only moves channels, which a view expresses."""
    return is_channel_slice(op) or is_channel_concat(op)


def permute(tensor: Tensor | None, order: list[int], axis: int = -1) -> Tensor:
    """A constant with one axis in a new order; an axis of size one is broadcast and stays."""
    data = constant_of(tensor)
    if tensor is None or not data.ndim or data.shape[axis] == 1 or order == sorted(order):
        return tensor  # type: ignore[return-value] # constant_of has refused None
    moved = constant(tensor.name, np.ascontiguousarray(np.take(data, order, axis=axis)))
    known = tensor.quantization
    if known is not None and known.axis == axis % data.ndim and known.scale.size > 1:
        known = replace(known, scale=known.scale[order])
    return replace(moved, quantization=known)


def sorted_runs(tensor: Tensor, places: Sequence[int]) -> list[tuple[Tensor, int, int]]:
    """Split ascending places in a tensor into (tensor, start, length) of neighbours."""
    breaks = [i + 1 for i, (a, b) in enumerate(pairwise(places)) if b != a + 1]
    return [(tensor, places[a], b - a) for a, b in pairwise([0, *breaks, len(places)])]


def ordered_runs(view: View) -> list[tuple[Tensor, int, int]]:
    """Split a view into contiguous runs without changing its order."""
    runs: list[tuple[Tensor, int, int]] = []
    for tensor, place in view:
        if runs and runs[-1][0] is tensor and runs[-1][1] + runs[-1][2] == place:
            runs[-1] = (tensor, runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((tensor, place, 1))
    return runs
