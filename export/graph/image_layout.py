"""Which images a module takes or gives in NHWC by itself.

Three channels at the end are told by the shape. One is not, for a signal may be as long and as
narrow; there the graph says it, by moving the channel to its place or away from it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

__all__ = ["find_channels_last"]

aten = torch.ops.aten
_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
_ELEMENTWISE = frozenset(
    {
        aten._to_copy.default, aten.add.Tensor, aten.clone.default, aten.contiguous.default,
        aten.div.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.to.dtype,
    }
)  # fmt: skip


def _is_coloured(tensor: Tensor) -> bool:
    """Whether a tensor has the shape of colour images in NHWC."""
    return tensor.dim() == 4 and tensor.shape[3] == 3 and min(tensor.shape[1:3]) > 3


def find_channels_last(
    exported: ExportedProgram, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[set[int], set[int]]:
    """Return the places of the inputs and of the outputs that are images in NHWC.

    Args:
        exported: As captured.
        inputs: What it was captured with.
        outputs: Values of what it returns.
    """
    nodes = {node.name: node for node in exported.graph.nodes}
    fed = [nodes[str(name)] for name in exported.graph_signature.user_inputs]
    returned = next(node for node in exported.graph.nodes if node.op == "output").args[0]
    taken = {
        i
        for i, (node, tensor) in enumerate(zip(fed, inputs, strict=True))
        if _is_coloured(tensor) or (_may_be_grey(tensor) and _becomes_nchw(node))
    }
    given = {
        i
        for i, (node, tensor) in enumerate(zip(returned, outputs, strict=True))  # type: ignore[arg-type]  # a list
        if _is_coloured(tensor) or (_may_be_grey(tensor) and _was_nchw(node))
    }
    return taken, given


def _may_be_grey(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.shape[3] == 1 and min(tensor.shape[1:3]) > 1


def _becomes_nchw(node: fx.Node) -> bool:
    """Whether all that reads a value moves its last axis to the second place."""
    # What a conversion leaves for tracing reads the value and makes none.
    readers = [user for user in node.users if isinstance(user.meta.get("val"), Tensor)]
    return bool(readers) and all(
        _becomes_nchw(user) if user.target in _ELEMENTWISE else _moves_channel(user, node, _TO_NCHW)
        for user in readers
    )


def _was_nchw(node: object) -> bool:
    """Whether a value comes from moving the second axis to the last place."""
    while isinstance(node, fx.Node) and node.target in _ELEMENTWISE:
        node = node.args[0]
    source = node.args[0] if isinstance(node, fx.Node) and node.args else None
    return (
        isinstance(node, fx.Node)
        and isinstance(source, fx.Node)
        and _moves_channel(node, source, _TO_NHWC)
    )


def _moves_channel(node: fx.Node, source: fx.Node, order: list[int]) -> bool:
    """Whether a node is a permutation to that order, or a reshape that is one for one channel."""
    before, after = source.meta["val"].shape, node.meta["val"].shape
    if len(before) != 4 or len(after) != 4:
        return False
    if node.target is aten.permute.default:
        return [axis % 4 for axis in node.args[1]] == order  # type: ignore[union-attr, operator]  # a list
    return list(after) == [before[axis] for axis in order] and node.target in (
        aten.movedim.int, aten.reshape.default, aten.transpose.int, aten.view.default,
    )  # fmt: skip
