"""Calls that return their input unchanged are dropped.

Reason: a slice over the full range (GhostNet's ``out[:, :oup]``) becomes an ``alias_copy`` and
a shape-preserving ``expand`` an ``expand_copy``; XNNPACK takes neither, and each cuts the
network in two. GhostNet falls into 49 delegates because of 32 such slices, DenseNet into 5
because each block begins with a concatenation of one tensor.

Algebra: none, bit-equal. A call whose input is an input of the network and whose result is
returned stays, for a file must not hand out its own input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from export.passes._editing import arguments, aten, must_copy, normal_dim, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were dropped."""
    rewrites = 0
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in _IS_NOOP:
            continue
        source = node.args[1 if node.target is aten.copy.default else 0]
        if node.target is aten.cat.default and len(source) == 1:  # type: ignore[arg-type]  # a list
            source = source[0]  # type: ignore[index]  # a list
        if not isinstance(source, fx.Node) or not _IS_NOOP[node.target](node, arguments(node)):
            continue
        if must_copy(node, source):
            continue
        replace(node, source)
        rewrites += 1
    return rewrites


def _always(_: fx.Node, __: dict[str, Any]) -> bool:
    return True


def _same_shape(node: fx.Node, _: dict[str, Any]) -> bool:
    return value(node).shape == value(node.args[0]).shape  # type: ignore[arg-type]  # a node


def _same_everything(node: fx.Node, given: dict[str, Any]) -> bool:
    before, after = value(node.args[0]), value(node)  # type: ignore[arg-type]  # a node
    return (before.dtype, before.shape, before.stride()) == (
        after.dtype, after.shape, after.stride(),
    ) and before.device == after.device  # fmt: skip


def _is_whole_copy(node: fx.Node, given: dict[str, Any]) -> bool:
    """``copy(old, new)`` is new, in old's shape and type."""
    new = value(given["src"])
    return new.shape == value(node).shape and new.dtype == value(node).dtype


def _is_eval_dropout(_: fx.Node, given: dict[str, Any]) -> bool:
    return not given["train"]


def _is_full_slice(node: fx.Node, given: dict[str, Any]) -> bool:
    return given["step"] == 1 and _same_shape(node, given)


def _is_zero_pad(_: fx.Node, given: dict[str, Any]) -> bool:
    return not any(given["pad"])


def _is_identity_permute(_: fx.Node, given: dict[str, Any]) -> bool:
    rank = len(given["dims"])
    return [normal_dim(d, rank) for d in given["dims"]] == list(range(rank))


_IS_NOOP: dict[Any, Callable[[fx.Node, dict[str, Any]], bool]] = {
    aten.alias.default: _always,
    aten.detach.default: _always,
    aten.detach_.default: _always,
    aten._assert_tensor_metadata.default: _always,  # what a conversion leaves for tracing
    aten.lift_fresh_copy.default: _always,
    aten.dropout.default: _is_eval_dropout,
    aten.feature_dropout.default: _is_eval_dropout,
    aten.alpha_dropout.default: _is_eval_dropout,
    aten.cat.default: _always,  # of one tensor
    aten.slice.Tensor: _is_full_slice,
    aten.expand.default: _same_shape,
    aten.view.default: _same_shape,
    aten.reshape.default: _same_shape,
    aten.flatten.using_ints: _same_shape,
    aten.squeeze.dim: _same_shape,
    aten.permute.default: _is_identity_permute,
    aten.pad.default: _is_zero_pad,
    aten.constant_pad_nd.default: _is_zero_pad,
    aten.copy.default: _is_whole_copy,
    aten.clone.default: _same_everything,
    aten.contiguous.default: _same_everything,
    aten.to.dtype: _same_everything,
    aten.to.dtype_layout: _same_everything,
    aten._to_copy.default: _same_everything,
}
