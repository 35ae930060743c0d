"""Run a graph in half precision as an ARM core with FEAT_FP16 does.

Every weight and every value between two operators is rounded to half, and convolutions and matrix
products with weights also add up in half, term by term from the bias on: XNNPACK's kernels for
those cores keep their sums in half registers, and long sums lose more there than anywhere else.
(This computer's kernels keep most sums in float32, so its files lose less.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from export.graph.program import Program
from export.network.inputs import Arrays
from export.passes._editing import arguments, aten
from pfd_models.errors import ModuleError

__all__ = ["LARGEST", "require_range", "run_in_half"]

LARGEST = float(torch.finfo(torch.float16).max)
"""65504, the largest half number."""


def run_in_half(program: Program, samples: Iterable[Arrays]) -> list[Arrays]:
    """Run a graph in half precision, sums included.

    Raises:
        ModuleError: As `require_range`.
    """
    return _run(_Accumulating(program.module()), samples)


def require_range(program: Program, samples: Iterable[Arrays]) -> None:
    """Refuse a network whose values do not fit half precision.

    Args:
        program: As captured: its nodes know the layers they belong to.
        samples: What it is fed.

    Raises:
        ModuleError: A weight or a value is beyond the largest half number; the line names the
            layer.
    """
    _run(_Rounding(program.module()), samples)


def _run(interpreter: fx.Interpreter, samples: Iterable[Arrays]) -> list[Arrays]:
    interpreter.extra_traceback = False  # it would write the node below our one line
    with torch.no_grad():
        runs = [interpreter.run(*map(torch.from_numpy, sample)) for sample in samples]
    return [[tensor.numpy() for tensor in tree_leaves(run)] for run in runs]


class _Rounding(fx.Interpreter):
    """Rounds weights where they are read, and what each operator makes."""

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        if not isinstance(result, Tensor) or result.dtype != torch.float32:
            return result
        if node.op == "get_attr" and any("batch_norm" in str(user.target) for user in node.users):
            return result  # statistics, which no format stores as they are
        rounded = _round(result)
        if bool((rounded.isinf() & result.isfinite()).any()):
            _refuse(node, f"{float(result[result.isfinite()].abs().max()):.3g}")
        return rounded


class _Accumulating(_Rounding):
    """Adds up in half, too."""

    def run_node(self, node: fx.Node) -> Any:
        if node.target not in (aten.conv2d.default, aten.linear.default):
            return super().run_node(node)
        named: dict[str, Any] = {
            name: self.map_nodes_to_values(value, node) for name, value in arguments(node).items()
        }
        result = (_multiply if node.target is aten.linear.default else _convolve)(**named)
        if not bool(result.isfinite().all()):
            _refuse(node, "more than that in a sum")
        return result


def _refuse(node: fx.Node, value: str) -> NoReturn:
    what = "the weight" if node.op == "get_attr" else "the output of"
    raise ModuleError(
        f"{what} {_layer(node)!r} reaches {value}, half precision ends at {LARGEST:.0f}; leave "
        "fp16 out of --precision, or scale what goes into that layer"
    )


def _round(tensor: Tensor) -> Tensor:
    return tensor.half().float()


def _add_up(columns: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Add products in half, one after the other.

    Args:
        columns: (..., terms, places).
        weight: (..., outputs, terms).
        bias: (..., outputs) or None.

    Returns:
        (..., outputs, places).
    """
    shape = (*columns.shape[:-2], weight.shape[-2], columns.shape[-1])
    total = torch.zeros(shape)
    if bias is not None:
        total += bias[..., None]
    for term in range(weight.shape[-1]):  # a fused multiply-add rounds once
        total = _round(torch.addcmul(total, weight[..., term, None], columns[..., term, None, :]))
    return total


def _multiply(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute a linear layer of (..., inputs)."""
    rows = input.reshape(-1, input.shape[-1])
    total = _add_up(rows.T, weight, bias)
    return total.T.reshape(*input.shape[:-1], weight.shape[0])


def _convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """Compute a convolution of (N, C, H, W)."""
    jumps, pads, steps = ((v[0], v[-1]) for v in (stride, padding, dilation))
    kernel = (weight.shape[2], weight.shape[3])
    columns = F.unfold(input, kernel, steps, pads, jumps)
    count, _, places = columns.shape
    total = _add_up(
        columns.reshape(count, groups, -1, places),
        weight.reshape(groups, weight.shape[0] // groups, -1),
        None if bias is None else bias.reshape(groups, -1),
    )
    sides = [
        (input.shape[2 + i] + 2 * pads[i] - steps[i] * (kernel[i] - 1) - 1) // jumps[i] + 1
        for i in (0, 1)
    ]
    return total.reshape(count, weight.shape[0], *sides)


def _layer(node: fx.Node) -> str:
    """Return the module's path that a node belongs to, or the node's own name."""
    if node.op == "get_attr":
        return str(node.target)
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = str(stack[-1][0]) if stack else ""
    return path.removeprefix("L['self'].").removeprefix("L['self']") or node.name
