"""Move elements at four axes or fewer: phones' GPU engine takes no more.

A channel shuffle, a window partition, a pixel shuffle and the heads of attention reshape to five
or six axes, move, and reshape back. Axes that stay together while moving count as one, and axes of
size one count as none; what is left over four is moved in steps, each of which exchanges two
neighbouring groups of axes. Only the shapes between the outer reshapes change, so the elements and
their types are the same in every precision.

Done only where both ends are reshapes: elsewhere the wide tensor stays, and reshapes would be added
for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from export.onnx_to_tflite.channel_views import constant_of
from export.onnx_to_tflite.graph import Graph, Op, Tensor, constant
from export.onnx_to_tflite.passes.merge_moves import merge_moves

__all__ = ["narrow_moves", "steps_of"]

MOST_AXES = 4
_MOST_GROUPS = 6  # 720 orders are searched in no time; more axes do not occur

Shape = tuple[int, ...]
Perm = tuple[int, ...]


def narrow_moves(graph: Graph) -> None:
    """Rewrite every wide TRANSPOSE and SLICE between reshapes."""
    chosen = _choose(graph)
    if not chosen:
        return
    ops: list[Op] = []
    for op in graph.ops:
        ops += _narrow(op) if op in chosen else [op]
    graph.ops = ops
    merge_moves(graph)


def _choose(graph: Graph) -> set[Op]:
    """Return the wide moves that have a reshape, or another of them, on every side."""
    producers, consumers = graph.producers(), graph.consumers()
    outputs = {tensor for _, tensor in graph.outputs}
    chosen = {op for op in graph.ops if _is_wide_move(op)}

    def fits(op: Op) -> bool:
        before = producers.get(op.data_input)
        after = consumers.get(op.output, [])
        sides = [before, *after]
        inside = all(
            side is not None and (side.kind == "RESHAPE" or side in chosen) for side in sides
        )
        return inside and op.output not in outputs

    while unfit := {op for op in chosen if not fits(op)}:
        chosen -= unfit
    return chosen


def _is_wide_move(op: Op) -> bool:
    if op.kind not in ("TRANSPOSE", "SLICE") or len(op.data_input.shape) <= MOST_AXES:
        return False
    if op.kind == "SLICE":
        pairs = zip(op.data_input.shape, op.output.shape, strict=True)
        return sum(whole != part for whole, part in pairs) == 1
    return steps_of(op.data_input.shape, _perm_of(op)) is not None


def _perm_of(op: Op) -> Perm:
    return tuple(int(axis) for axis in constant_of(op.inputs[1]))


def _narrow(op: Op) -> list[Op]:
    """Return a wide move as reshapes around narrow ones, from the same tensor to the same."""
    made: list[Op] = []
    x = op.data_input
    if op.kind == "SLICE":
        (axis,) = (
            i
            for i, (whole, part) in enumerate(zip(x.shape, op.output.shape, strict=True))
            if whole != part
        )
        lead, trail = _product(x.shape[:axis]), _product(x.shape[axis + 1 :])
        size = (lead, op.output.shape[axis], trail)
        begin = (0, int(constant_of(op.inputs[1])[axis]), 0)
        x = _reshape(made, x, (lead, x.shape[axis], trail))
        operands = (x, constant("begin", begin), constant("size", size))
        x = _move(made, op.with_fields(inputs=operands), size)
    else:
        for shape, perm in steps_of(x.shape, _perm_of(op)) or ():
            x = _reshape(made, x, shape)
            moved = op.with_fields(inputs=(x, constant("perm", perm)))
            x = _move(made, moved, tuple(shape[axis] for axis in perm))
    last = constant("shape", op.output.shape)
    made.append(_reshape_op((x, last), op.output))
    return made


def _reshape(made: list[Op], x: Tensor, shape: Shape) -> Tensor:
    y = replace(x, shape=shape, data=None)
    made.append(_reshape_op((x, constant("shape", shape)), y))
    return y


def _reshape_op(inputs: tuple[Tensor, Tensor], output: Tensor) -> Op:
    return Op(
        kind="RESHAPE",
        inputs=inputs,
        outputs=(output,),
        options={"newShape": list(output.shape)},
    )


def _move(made: list[Op], op: Op, shape: Shape) -> Tensor:
    y = replace(op.output, shape=shape, data=None)
    made.append(op.with_fields(outputs=(y,)))
    return y


def steps_of(shape: Shape, perm: Perm) -> list[tuple[Shape, Perm]] | None:
    """Return (shape to move at, permutation), step after step; None where there are too many axes.

    Args:
        shape: Of the tensor that is moved.
        perm: Source axis of each axis of the result.
    """
    groups = _group(shape, perm)
    sizes = [_product(shape[axis] for axis in group) for group in groups]
    order = tuple(sorted(range(len(groups)), key=lambda number: groups[number]))
    if len(groups) > _MOST_GROUPS:
        return None
    wanted = tuple(range(len(groups)))
    steps = []
    for begin, middle, end in _find_swaps(order, wanted):
        parts = (order[:begin], order[begin:middle], order[middle:end], order[end:])
        kept = [i for i, part in enumerate(parts) if part]
        whole = tuple(_product(sizes[n] for n in parts[i]) for i in kept)
        swapped = [i for i in (0, 2, 1, 3) if i in kept]
        steps.append((whole, tuple(kept.index(i) for i in swapped)))
        order = (*parts[0], *parts[2], *parts[1], *parts[3])
    return steps


def _group(shape: Shape, perm: Perm) -> list[Perm]:
    """Return the source axes of the result, those that stay together in one group."""
    real = [axis for axis in perm if shape[axis] != 1]
    there = sorted(real)
    groups: list[list[int]] = []
    for axis in real:
        follows = groups and there.index(groups[-1][-1]) + 1 == there.index(axis)
        if follows:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return [tuple(group) for group in groups]


def _find_swaps(order: Perm, wanted: Perm) -> list[tuple[int, int, int]]:
    """Return the fewest exchanges of neighbouring runs, as (begin, middle, end), to an order."""
    paths: dict[Perm, list[tuple[int, int, int]]] = {order: []}
    queue = deque([order])
    while wanted not in paths:
        now = queue.popleft()
        for begin, middle, end in combinations(range(len(now) + 1), 3):
            moved = (*now[:begin], *now[middle:end], *now[begin:middle], *now[end:])
            if moved not in paths:
                paths[moved] = [*paths[now], (begin, middle, end)]
                queue.append(moved)
    return paths[wanted]


def _product(sizes: Iterable[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
