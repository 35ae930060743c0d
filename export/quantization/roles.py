"""What each call of a graph can be in a quantised network.

Both delegates were asked. ExecuTorch's XNNPACK partitioner takes more in float than in 8 bits, and
LiteRT's has other 8-bit operators; an operator counts as one that computes in integers only where
both have it, because the files are to give equal bits. The rest stays in float between a
dequantise and a quantise, inside the delegate where that has the float kernel.
"""

from __future__ import annotations

import math
import operator
from enum import Enum
from typing import Any, TypeGuard

from torch import fx

from export.passes._editing import arguments, aten, is_call, normal_dim, value
from export.quantization.tables import TABLES

__all__ = [
    "CLAMPS",
    "KEPT_FLOAT",
    "MOVES",
    "PADS",
    "Role",
    "clamp_limits",
    "is_computed",
    "is_free_clamp",
    "is_move",
    "is_number",
    "is_selection",
    "is_zero_pad",
    "operands",
    "role",
    "why_float",
]

CLAMPS = frozenset(
    {aten.relu.default, aten.relu6.default, aten.hardtanh.default, aten.clamp.default}
)

MOVES = frozenset(
    {
        aten.cat.default, aten.slice.Tensor, aten.reshape.default, aten.view.default,
        aten.flatten.using_ints, aten.transpose.int, aten.permute.default,
        aten.max_pool2d.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default,
        aten.narrow.default, aten.pad.default, aten.constant_pad_nd.default,
    }
)  # fmt: skip
"""They return elements of their operands or zeros, so operands and result share one scale."""

SELECTIONS = frozenset(
    {
        aten.argmax.default, aten.topk.default, operator.getitem, aten.to.dtype,
        aten._to_copy.default,
    }
)  # fmt: skip
"""They pick or convert numbers, so that every runtime gives the same bits."""
KEPT_FLOAT = "kept_float"
"""The key of a node's ``meta`` that says that the user wants it in float."""

PADS = (aten.pad.default, aten.constant_pad_nd.default)


class Role(Enum):
    """What a value's maker is in a quantised network."""

    INTEGER = "computes in integers"
    MOVE = "moves elements, of any type"
    CLAMP = "is the saturation of the quantiser behind it"
    FLOAT = "computes in float"
    CONSTANT = "is a weight or another constant"
    INPUT = "is fed by the caller"


def role(node: fx.Node) -> Role:
    """Say what a node is."""
    if node.op == "placeholder":
        return Role.INPUT
    if node.op == "get_attr":
        return Role.CONSTANT
    if node.op != "call_function" or why_float(node) is not None:
        return Role.FLOAT
    if node.target in MOVES:
        return Role.MOVE
    return Role.CLAMP if node.target in CLAMPS else Role.INTEGER


def why_float(node: fx.Node) -> str | None:
    """Return why a call must stay in float, None where it need not."""
    fake = node.meta.get("val")
    if not hasattr(fake, "dtype") or not value(node).is_floating_point():
        return "it returns no float tensor"
    if KEPT_FLOAT in node.meta:
        return "kept in float as asked"
    if is_call(node, *PADS) and not is_move(node):
        return "it pads with something else than zeros"
    if is_call(node, *MOVES):
        constant = any(n.op == "get_attr" for n in node.all_input_nodes)
        return "it moves a constant" if constant else None
    if is_call(node, *CLAMPS):
        return (
            None
            if is_free_clamp(node)
            else "a clamp with limits on one side of zero, or whose operand has other readers"
        )
    if is_call(node, *TABLES):
        return None
    if is_call(node, aten.conv2d.default, aten.linear.default):
        given = arguments(node)
        read = [n for n in (given["weight"], given["bias"]) if n is not None]
        if any(n.op != "get_attr" for n in read):
            return "its weights are computed"
        if is_call(node, aten.linear.default) and value(node).dim() != 2:
            return "a linear layer over more than rows"
        return None
    if is_call(node, aten.add.Tensor, aten.mul.Tensor):
        return _why_float_pair(node)
    if is_call(node, aten.mean.dim):
        given = arguments(node)
        dims = sorted(normal_dim(d, 4) for d in given["dim"] or ())
        is_global = value(given["self"]).dim() == 4 and dims == [2, 3] and given["keepdim"]
        return None if is_global else "a mean over other dimensions than height and width"
    return "the delegates have no 8-bit kernel for it"


def _why_float_pair(node: fx.Node) -> str | None:
    pair = node.args[:2]
    if not all(isinstance(x, fx.Node) and value(x).is_floating_point() for x in pair):
        return "an operand is no float tensor"
    if pair[0] is pair[1]:
        return "both operands are one tensor"
    if node.kwargs.get("alpha", 1) != 1:
        return "it scales an operand"
    if all(isinstance(x, fx.Node) and x.op == "get_attr" for x in pair):
        return "both operands are constants"
    return None


def is_computed(node: fx.Node) -> bool:
    """Whether a node makes new numbers, and does not only move those of others."""
    return node.op == "call_function" and node.target not in MOVES


def is_move(node: fx.Node) -> bool:
    """Whether a call returns nothing but elements of its operands and zeros."""
    return is_call(node, *MOVES) and (not is_call(node, *PADS) or is_zero_pad(node))


def is_zero_pad(node: fx.Node) -> bool:
    """Whether a pad adds zeros and cuts nothing off."""
    given = arguments(node)
    amounts = given["pad"]
    filled = given["value"] or 0
    return given.get("mode", "constant") == "constant" and filled == 0 and min(amounts) >= 0


def clamp_limits(node: fx.Node) -> tuple[float, float] | None:
    """Return a clamp's limits, None where zero is outside them or a limit is computed."""
    if is_call(node, aten.relu.default):
        return 0.0, math.inf
    if is_call(node, aten.relu6.default):
        return 0.0, 6.0
    given = arguments(node)
    low = given["min_val"] if "min_val" in given else given["min"]
    high = given["max_val"] if "max_val" in given else given["max"]
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    if not is_number(low) or not is_number(high) or not low <= 0 <= high:
        return None
    return float(low), float(high)


def is_free_clamp(node: fx.Node) -> bool:
    """Whether the quantiser behind a clamp saturates at the clamp's limits by itself.

    It does where the operator in front computes its result anew and nothing else reads it.
    """
    source = node.args[0]
    if clamp_limits(node) is None or not isinstance(source, fx.Node):
        return False
    makes_anew = source.op == "call_function" and source.target not in MOVES
    return makes_anew and source.target not in CLAMPS and list(source.users) == [node]


def operands(node: fx.Node) -> list[fx.Node]:
    """Return the operands of a call that are values of the network, without its constants."""
    return [n for n in node.all_input_nodes if role(n) is not Role.CONSTANT]


def is_selection(node: fx.Node) -> bool:
    """Whether a call outside the integers rounds nothing."""
    return node.target in SELECTIONS


def is_number(given: Any) -> TypeGuard[int | float]:
    """Whether an argument is a plain number."""
    return isinstance(given, int | float) and not isinstance(given, bool)
