"""What a quantised network computes, integer by integer: the meaning of "right" for its files.

Every operator that computes in integers has its arithmetic here, written from XNNPACK's kernels:
exact sums in int32, one multiplication by a float32 factor, round half to even, saturate; or a
table (`tables`). What stays in float is computed by PyTorch and stored as the kernels store it;
there the last bit depends on the runtime, and only there.
Source: XNNPACK, ``src/qs8-*`` and ``src/microparams-init.c``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from export.graph.program import Program
from export.passes._editing import arguments, aten, is_call
from export.quantization.insert import QDQ
from export.quantization.roles import is_move
from export.quantization.tables import TABLES, round_entries
from export.quantization.walk import call, walk

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Mask", "find_ties", "run_integers"]

Mask: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
"""Of an output's shape."""

_QUANTIZE = QDQ.quantize_per_tensor.default
_DEQUANTIZE = (QDQ.dequantize_per_tensor.default, QDQ.dequantize_per_channel.default)


@dataclass(frozen=True, slots=True)
class _Integers:
    """Integers that stand for numbers: number = scale * (integer - zero_point)."""

    integers: Tensor
    scale: Tensor
    zero_point: int

    def centred(self) -> Tensor:
        """Return the integers without their zero point, float64, which holds every sum exactly."""
        return self.integers.double() - self.zero_point

    def numbers(self) -> Tensor:
        """Return what they stand for, float32."""
        return self.centred().float() * self.scale


@dataclass(frozen=True, slots=True)
class _Pending:
    """A sum that is not yet scaled: the quantiser behind it knows the scale of the result."""

    finish: Callable[[Tensor, int], Tensor]
    """From the result's scale and zero point to integers that are not saturated yet."""


def run_integers(program: Program, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Run a quantised program in integer arithmetic.

    Args:
        program: From `quantize`.
        inputs: One sample, float32 or int8 as the program takes it.

    Returns:
        Its outputs, flattened, float32 or int8.
    """
    graph = program.module().graph
    for node, values in walk(graph, [inputs], _compute):
        if node.op == "output":
            return [_plain(leaf) for leaf in tree_leaves(values[0])]
    raise AssertionError("a graph ends with its output")


def find_ties(program: Program, inputs: Sequence[Tensor]) -> list[Mask | None]:
    """Find which of the places that a program returns another place shares its score with.

    Scores of 8 bits tie often, and runtimes of ``topk`` then take the one or the other place.

    Args:
        program: From `quantize`.
        inputs: One sample, as for `run_integers`.

    Returns:
        For each output, a mask of its shape where it is the places of a ``topk``, else None.
    """
    graph = program.module().graph
    tied: dict[tuple[int, ...], Mask] = {}
    scores: dict[fx.Node, Tensor] = {}
    wanted = {n.args[0] for n in graph.nodes if is_call(n, aten.topk.default)}
    if not wanted:
        return [None] * len(program.outputs)
    for node, values in walk(graph, [inputs], _compute):
        if node in wanted:
            scores[node] = _plain(values[0])
        elif is_call(node, aten.topk.default):
            best, _ = values[0]
            equal = best[:, :, None] == scores[node.args[0]][:, None, :]  # type: ignore[index]
            tied[tuple(best.shape)] = (equal.sum(2) > 1).numpy()
    return [tied.get(spec.shape) if spec.dtype == "int32" else None for spec in program.outputs]


def _compute(node: fx.Node, operands: list[Any]) -> Any:
    if is_call(node, *_DEQUANTIZE):
        stored, scale, zero = _stored(node, operands)
        return _Integers(stored, scale, zero)
    if is_call(node, _QUANTIZE):
        return _quantize(node, operands[0])
    table = dict(zip(node.all_input_nodes, operands, strict=True))
    if _is_stored(node):
        if is_move(node) and all(isinstance(o, _Integers) for o in operands):
            return _move(node, operands)
        kernel = _KERNELS.get(node.target)  # type: ignore[call-overload]  # whatever is called
        read = [table[n] for n in node.args[:2] if isinstance(n, fx.Node)]
        if kernel is not None and all(isinstance(o, _Integers) for o in read):
            return _Pending(kernel(node, table))
    return call(node, [_plain(o) for o in operands])


def _is_stored(node: fx.Node) -> bool:
    return bool(node.users) and all(is_call(user, _QUANTIZE) for user in node.users)


def _stored(node: fx.Node, operands: list[Any]) -> tuple[Tensor, Tensor, int]:
    if is_call(node, _DEQUANTIZE[1]):
        weight, scales, _ = operands
        return weight, scales, 0
    scale, zero_point = node.args[1], node.args[2]
    return operands[0], torch.tensor(scale, dtype=torch.float32), int(zero_point)  # type: ignore[arg-type]  # a number


def _quantize(node: fx.Node, operand: Any) -> Tensor:
    numbers: Any = node.args[1:5]
    scale, zero, low, high = numbers
    wanted = torch.tensor(scale, dtype=torch.float32)
    if isinstance(operand, _Integers):  # it was only moved
        return operand.integers
    if isinstance(operand, _Pending):
        units = operand.finish(wanted, zero)
    else:
        units = torch.round(operand * (1.0 / wanted)) + zero
    return units.clamp(low, high).to(torch.int8)


def _plain(operand: Any) -> Any:
    return operand.numbers() if isinstance(operand, _Integers) else operand


def _move(node: fx.Node, operands: list[_Integers]) -> _Integers:
    # Around zero, so that borders of zeros are right, and in float32, in which max_pool2d exists.
    zero_point = operands[0].zero_point
    moved = call(node, [operand.centred().float() for operand in operands])
    return _Integers((moved + zero_point).to(torch.int8), operands[0].scale, zero_point)


def _scale_down(total: Tensor, factor: Tensor) -> Tensor:
    """Multiply exact sums by a float32 factor and round half to even."""
    return torch.round(total.float() * factor).double()


def _layer(node: fx.Node, table: dict[fx.Node, Any]) -> Callable[[Tensor, int], Tensor]:
    given = arguments(node)
    source, weight = table[given["input"]], table[given["weight"]]
    step = source.scale * weight.scale
    rest = list(given.values())[3:]
    total = node.target(source.centred(), weight.integers.double(), None, *rest)  # type: ignore[operator]  # a call
    if given["bias"] is not None:
        units = torch.round(table[given["bias"]].double() / step.double())
        total = total + units.reshape(-1, *[1] * (total.dim() - 2))
    shape = [-1, *[1] * (total.dim() - 2)]
    return lambda scale, zero: _scale_down(total, (step / scale).reshape(shape)) + zero


def _product(node: fx.Node, table: dict[fx.Node, Any]) -> Callable[[Tensor, int], Tensor]:
    left, right = (table[n] for n in node.args[:2])  # type: ignore[index]  # nodes
    total = left.centred() * right.centred()
    return lambda scale, zero: _scale_down(total, left.scale * right.scale / scale) + zero


def _sum(node: fx.Node, table: dict[fx.Node, Any]) -> Callable[[Tensor, int], Tensor]:
    """Scale both operands to whole multiples of 2 ** -shift, add, and shift back with rounding."""
    pair = [table[n] for n in node.args[:2]]  # type: ignore[index]  # nodes

    def finish(scale: Tensor, zero: int) -> Tensor:
        factors = [float(operand.scale / scale) for operand in pair]
        shift = 20 - (math.frexp(max(factors))[1] - 1)
        total: Any = 2.0 ** (shift - 1)
        for operand, factor in zip(pair, factors, strict=True):
            total = total + operand.centred() * round(math.ldexp(factor, shift))
        result: Tensor = torch.floor(total / 2.0**shift) + zero
        return result

    return finish


def _mean(node: fx.Node, table: dict[fx.Node, Any]) -> Callable[[Tensor, int], Tensor]:
    """Scale the sum of the stored integers; both zero points are one float32 summand behind it.

    That summand is large beside the sum, so its rounding decides near ties.
    """
    source = table[node.all_input_nodes[0]]
    total = source.integers.double().sum((2, 3), keepdim=True).float()
    count = source.integers[0, 0].numel()

    def finish(scale: Tensor, zero: int) -> Tensor:
        factor = (source.scale.float() / scale.float()) * torch.tensor(1.0 / count)
        offset = float(zero) - float(source.zero_point * count) * factor
        return torch.round(total * factor + offset).double()

    return finish


def _look_up(node: fx.Node, table: dict[fx.Node, Any]) -> Callable[[Tensor, int], Tensor]:
    source = table[node.all_input_nodes[0]]
    numbers = TABLES[node.target](source.numbers())
    return lambda scale, zero: round_entries(numbers, scale, zero)


_KERNELS = {
    aten.conv2d.default: _layer,
    aten.linear.default: _layer,
    aten.mul.Tensor: _product,
    aten.add.Tensor: _sum,
    aten.mean.dim: _mean,
    **dict.fromkeys(TABLES, _look_up),
}
