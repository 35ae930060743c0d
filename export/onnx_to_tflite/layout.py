"""Axis orders: which ONNX axis lies where in a TFLite tensor.

A value keeps its ONNX shape and an order, the tuple of ONNX axes as the TFLite tensor stores them:
(0, 2, 3, 1) is NHWC. An ONNX Transpose then only renames axes, a Reshape goes through a permuted
tensor where the axes it joins or splits lie together, and a TRANSPOSE is emitted only when an
operator asks for an order that the value does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "NHWC",
    "Order",
    "ReshapePlan",
    "identity",
    "is_same_memory",
    "permutation",
    "physical_shape",
    "plan_reshape",
]

Order = tuple[int, ...]
NHWC: Order = (0, 2, 3, 1)


def identity(rank: int) -> Order:
    """Return ONNX's own order."""
    return tuple(range(rank))


def physical_shape(shape: Sequence[int], order: Order) -> tuple[int, ...]:
    """Return the shape of a tensor that stores ``shape`` in ``order``."""
    return tuple(shape[axis] for axis in order)


def permutation(source: Order, target: Order) -> Order:
    """Return what TRANSPOSE needs to bring a tensor from one order to another."""
    return tuple(source.index(axis) for axis in target)


def is_same_memory(shape: Sequence[int], source: Order, target: Order) -> bool:
    """Say whether two orders store the same bytes, as when only axes of size one move."""
    return [a for a in source if shape[a] != 1] == [a for a in target if shape[a] != 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshapePlan:
    """How to reshape a permuted value.

    Attributes:
        source: Order that the input must have before the RESHAPE.
        target: Order of the result.
    """

    source: Order
    target: Order


def plan_reshape(
    shape: Sequence[int], order: Order, new_shape: Sequence[int], *, prefer_nhwc: bool
) -> ReshapePlan:
    """Find orders between which the reshape moves no data, with a TRANSPOSE before only if needed.

    The axes fall into groups of equal products, as (C) -> (heads, depth) and (H, W) -> (N). A
    group whose input axes lie together and ascend in memory can be reshaped where it lies.

    Args:
        shape: ONNX shape before.
        order: Order the value has now.
        new_shape: ONNX shape after, of the same number of elements.
        prefer_nhwc: Whether the readers of a four-dimensional result want NHWC.
    """
    groups = _group_axes(shape, new_shape)
    runs = _runs(shape, order, groups)
    if runs is None:
        wanted = NHWC if prefer_nhwc and len(new_shape) == 4 else identity(len(new_shape))
        runs = _runs_for(new_shape, wanted, groups) or list(range(len(groups)))
        source = _fill([a for g in runs for a in groups[g][0]], shape, order)
    else:
        source = order
    target = _place([a for g in runs for a in groups[g][1]], new_shape, prefer_nhwc=prefer_nhwc)
    return ReshapePlan(source=source, target=target)


def _group_axes(
    shape: Sequence[int], new_shape: Sequence[int]
) -> list[tuple[list[int], list[int]]]:
    """Split the axes larger than one into the smallest groups with equal products."""
    old = [a for a, size in enumerate(shape) if size != 1]
    new = [a for a, size in enumerate(new_shape) if size != 1]
    groups = []
    i = j = 0
    while i < len(old):
        left, right = [old[i]], [new[j]]
        have, want = shape[old[i]], new_shape[new[j]]
        i, j = i + 1, j + 1
        while have != want:
            if have < want:
                left.append(old[i])
                have *= shape[old[i]]
                i += 1
            else:
                right.append(new[j])
                want *= new_shape[new[j]]
                j += 1
        groups.append((left, right))
    return groups


def _runs(
    shape: Sequence[int], order: Order, groups: list[tuple[list[int], list[int]]]
) -> list[int] | None:
    """Return the groups as they follow each other in memory, None where one is torn apart."""
    memory = [a for a in order if shape[a] != 1]
    sequence = []
    at = 0
    while at < len(memory):
        index = next(i for i, (old, _) in enumerate(groups) if memory[at] in old)
        old = groups[index][0]
        if memory[at : at + len(old)] != old:
            return None
        sequence.append(index)
        at += len(old)
    return sequence


def _runs_for(
    new_shape: Sequence[int], wanted: Order, groups: list[tuple[list[int], list[int]]]
) -> list[int] | None:
    """Return the sequence of groups that gives the result a wanted order, if one does."""
    return _runs(new_shape, wanted, [(new, old) for old, new in groups])


def _fill(sequence: list[int], shape: Sequence[int], order: Order) -> Order:
    """Add the axes of size one to a sequence of larger axes, in front, as they lie now."""
    return (*(a for a in order if shape[a] == 1), *sequence)


def _place(sequence: list[int], shape: Sequence[int], *, prefer_nhwc: bool) -> Order:
    """Choose an order whose axes larger than one are in the given sequence."""
    rank = len(shape)
    candidates = [NHWC] if rank == 4 and prefer_nhwc else []
    candidates.append(identity(rank))
    if rank == 4 and not prefer_nhwc:
        candidates.append(NHWC)
    for order in candidates:
        if [a for a in order if shape[a] != 1] == sequence:
            return order
    return _fill(sequence, shape, identity(rank))


def transpose_constant(data: np.ndarray, order: Order) -> np.ndarray:
    """Store a constant of ONNX's order in another one."""
    return np.ascontiguousarray(np.transpose(data, order)) if order != identity(data.ndim) else data
