"""Let a program whose rewrites wanted fixed shapes take any batch of a range.

The passes work on shapes of plain numbers. So a network of open batch is captured and rewritten
twice, for two batches, and what differs between the two graphs is the batch: a size in a reshape
becomes -1, the end of a slice over everything becomes "to the end", a constant that repeats one
row for each image becomes that row. Whatever else differs has no form for every batch, and the
error names it.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from export.graph.program import Program, dynamic_shapes
from export.sets.manifest import TensorSpec
from pfd_models.errors import ModuleError

__all__ = ["BATCHES", "open_batch"]

BATCHES = (2, 3)
"""What a network is captured for. Not one, which many operators treat as a case of its own."""

aten = torch.ops.aten
_RESHAPES = (
    aten._unsafe_view.default, aten.flatten.using_ints, aten.reshape.default, aten.unflatten.int,
    aten.view.default,
)  # fmt: skip
_BROADCASTING = (
    aten.add.Tensor, aten.div.Tensor, aten.ge.Tensor, aten.gt.Tensor, aten.le.Tensor,
    aten.logical_and.default, aten.lt.Tensor, aten.maximum.default, aten.minimum.default,
    aten.mul.Tensor, aten.sub.Tensor, aten.where.self,
)  # fmt: skip


def open_batch(
    first: Program, second: Program, batches: tuple[tuple[int, int] | None, ...]
) -> Program:
    """Join one network's programs for two batches into one for every batch.

    Args:
        first: Captured and rewritten with a batch of ``BATCHES[0]``.
        second: The same for ``BATCHES[1]``.
        batches: For each input, the least and largest batch it takes; None where it has none.

    Returns:
        A program whose inputs and outputs say the range; their shapes have the least batch.

    Raises:
        ModuleError: Something in the network has no form for every batch.
    """
    module, other = first.module(), second.module()
    nodes, twins = list(module.graph.nodes), list(other.graph.nodes)
    if [(n.op, n.target) for n in nodes] != [(n.op, n.target) for n in twins]:
        raise _refuse("its graph has other operators for another batch")
    opener = _Opener(dict(zip(nodes, twins, strict=True)))
    for node, twin in zip(nodes, twins, strict=True):
        if node.op == "get_attr":
            opener.open_constant(node, twin)
        elif node.op == "call_function":
            opener.open_call(node, twin)
    module.graph.lint()
    module.recompile()
    inputs = [_say_batch(s, batch) for s, batch in zip(first.inputs, batches, strict=True)]
    with torch.no_grad():
        try:
            exported = torch.export.export(
                module, first.example, dynamic_shapes=dynamic_shapes(inputs), strict=False
            )
        except Exception as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise _refuse(line[:200]) from error
    batch = next(b for b in batches if b is not None)
    outputs = [
        _open_output(*each, batch) for each in zip(first.outputs, second.outputs, strict=True)
    ]
    return dataclasses.replace(
        first, exported=exported, inputs=tuple(inputs), outputs=tuple(outputs)
    )


def _refuse(reason: str, node: fx.Node | None = None) -> ModuleError:
    where = "" if node is None else f"{node.target}: "
    return ModuleError(
        f"the network has no form for every batch: {where}{reason}; give one batch, or change it"
    )


def _say_batch(spec: TensorSpec, batch: tuple[int, int] | None) -> TensorSpec:
    if batch is None:
        return spec
    return dataclasses.replace(spec, shape=(batch[0], *spec.shape[1:]), batch=batch)


def _open_output(one: TensorSpec, other: TensorSpec, batch: tuple[int, int]) -> TensorSpec:
    if one.shape == other.shape:
        return one
    if one.shape[1:] != other.shape[1:] or (one.shape[0], other.shape[0]) != BATCHES:
        raise _refuse(
            f"output {one.name!r} has shape {one.shape} for a batch of {BATCHES[0]} and "
            f"{other.shape} for {BATCHES[1]}; the batch must be its first dimension"
        )
    return _say_batch(one, batch)


class _Opener:
    """Takes the batch out of one graph's numbers.

    Args:
        twins: Each node's counterpart in the graph of another batch.
    """

    def __init__(self, twins: dict[fx.Node, fx.Node]) -> None:
        self._twins = twins

    def open_call(self, node: fx.Node, twin: fx.Node) -> None:
        """Take the batch out of a call's own numbers."""
        if self._repeats(node):
            self._broadcast(node, _axis(node))
            node.replace_all_uses_with(_arguments(node)[0][0])
            return
        leaves, twins = (tree_leaves((n.args, n.kwargs)) for n in (node, twin))
        differ = [
            f"{a} and {b}"
            for a, b in zip(leaves, twins, strict=True)
            if not isinstance(a, fx.Node) and a != b
        ]
        if node.target in _RESHAPES:
            _open_reshape(node, self._open_shape(node))
        elif not differ:
            return
        elif node.target is aten.slice.Tensor and _takes_all(node) and _takes_all(twin):
            node.args = (*node.args[:3], sys.maxsize)
        elif node.target is aten.expand.default and self._has_batch(node.args[0], 0):
            node.args = (node.args[0], self._open_shape(node))
        else:
            raise _refuse(f"its arguments for two batches are {', '.join(differ)}", node)

    def _repeats(self, node: fx.Node) -> bool:
        """Whether a concatenation repeats one row for each image: ``token.repeat(batch, 1, 1)``."""
        if node.target is not aten.cat.default or not self._has_batch(node, _axis(node)):
            return False
        first, *copies = _arguments(node)[0]
        is_row = _value(first).shape[_axis(node)] == 1 and not self._has_batch(first, _axis(node))
        # One operand may be the product with one that `copy_repeated_inputs` makes.
        return is_row and all(n is first or n.args == (first, 1.0) for n in copies)

    def open_constant(self, node: fx.Node, twin: fx.Node) -> None:
        """Keep one row of a constant that repeats it for each image."""
        one, other = _attribute(node), _attribute(twin)
        if one.shape == other.shape:
            if not torch.equal(one, other):
                raise _refuse(f"the constant {node.target} has other values for another batch")
            return
        axes = [i for i, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)) if a != b]
        row = one.narrow(axes[0], 0, 1)
        if len(axes) > 1 or not all(
            torch.equal(row.expand_as(each), each) for each in (one, other)
        ):
            raise _refuse(f"the constant {node.target} differs between the images of a batch")
        _set_attribute(node, row.clone(memory_format=torch.contiguous_format))
        self._broadcast(node, axes[0] - one.dim())

    def _broadcast(self, row: fx.Node, axis: int) -> None:
        """Let what read a row for each image work with one.

        Args:
            row: Whose value was repeated for each image and is not any more.
            axis: Along which dimension, counted from the end.
        """
        for user in list(row.users):
            others = [node for node in user.all_input_nodes if node is not row]
            carrier = next((node for node in others if self._has_batch(node, axis)), None)
            if user.target in _BROADCASTING:
                if carrier is None:
                    self._broadcast(user, axis)
            elif user.target is aten.cat.default and carrier is not None:
                # Zero times a slice of a neighbour has its batch; the sum broadcasts the row.
                along = _axis(user)
                with user.graph.inserting_before(user):
                    part = user.graph.call_function(aten.slice.Tensor, (carrier, along, 0, 1))
                    zeros = user.graph.call_function(aten.mul.Tensor, (part, 0.0))
                    rows = user.graph.call_function(aten.add.Tensor, (zeros, row))
                user.replace_input_with(row, rows)
            else:
                raise _refuse("it takes a value that is repeated for each image", user)

    def _has_batch(self, node: Any, axis: int) -> bool:
        """Whether a size of a computed value depends on the batch."""
        if node.op == "get_attr":
            return False
        one, other = _value(node).shape, _value(self._twins[node]).shape
        return -len(one) <= axis < len(one) and one[axis] != other[axis]

    def _open_shape(self, node: fx.Node) -> list[int]:
        """Return a value's shape with -1 for the one size that depends on the batch."""
        pairs = zip(_value(node).shape, _value(self._twins[node]).shape, strict=True)
        sizes = [-1 if a != b else int(a) for a, b in pairs]
        if sizes.count(-1) > 1:
            raise _refuse("two sizes of its result depend on the batch", node)
        return sizes


def _open_reshape(node: fx.Node, shape: list[int]) -> None:
    """Leave the size that is the batch's to be inferred.

    What does not lie in the order of its dimensions is copied first: the copy that PyTorch makes
    by itself names the size again.
    """
    if -1 not in shape:
        return
    source = _arguments(node)[0]
    if not _value(source).is_contiguous():
        with node.graph.inserting_before(node):
            keep: dict[str, Any] = {"memory_format": torch.contiguous_format}
            source = node.graph.call_function(aten.clone.default, (source,), keep)
    node.target, node.args = aten.view.default, (source, shape)


def _takes_all(node: fx.Node) -> bool:
    """Whether a slice is one of the whole dimension."""
    if len(node.args) != 4:
        return False
    source, dim, start, end = _arguments(node)
    return bool(not start and end >= _value(source).shape[dim])


def _axis(node: fx.Node) -> int:
    """Return the dimension along which a concatenation joins, counted from the end."""
    (dim,) = _arguments(node)[1:] or (0,)
    return int(dim) % _value(node).dim() - _value(node).dim()


def _arguments(node: fx.Node) -> tuple[Any, ...]:
    return node.args


def _value(node: Any) -> Tensor:
    tensor: Tensor = node.meta["val"]
    return tensor


def _owner(node: fx.Node) -> tuple[torch.nn.Module, str]:
    module = node.graph.owning_module
    assert module is not None  # graphs here always come from ExportedProgram.module()
    owner, _, leaf = str(node.target).rpartition(".")
    return module.get_submodule(owner), leaf


def _attribute(node: fx.Node) -> Tensor:
    owner, leaf = _owner(node)
    found: Tensor = getattr(owner, leaf)
    return found.detach()


def _set_attribute(node: fx.Node, tensor: Tensor) -> None:
    owner, leaf = _owner(node)
    delattr(owner, leaf)
    owner.register_buffer(leaf, tensor)
