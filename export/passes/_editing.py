"""Small tools for editing an exported graph: read a call's arguments, insert calls, replace.

Every node that a pass inserts carries its value's shape and dtype (a fake tensor in
``node.meta["val"]``), so later passes can read it, and the source line of the node it
stands for, so a report can still point at the user's code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx

from export.graph.aliasing import owns_memory

__all__ = [
    "arguments",
    "aten",
    "attribute",
    "calls",
    "constant",
    "expand_to",
    "insert",
    "is_call",
    "multiply_along",
    "must_copy",
    "neighbour_groups",
    "normal_dim",
    "repeat_each",
    "replace",
    "replace_calls",
    "reshape",
    "value",
]

aten = torch.ops.aten
_KEPT_META = ("stack_trace", "nn_module_stack", "torch_fn")


def is_call(node: object, *targets: object) -> bool:
    """Whether a node calls one of the targets."""
    return isinstance(node, fx.Node) and node.op == "call_function" and node.target in targets


def calls(graph: fx.Graph, *targets: object) -> Iterator[fx.Node]:
    """Yield the nodes that call one of the targets; the graph may be edited meanwhile."""
    return (node for node in list(graph.nodes) if is_call(node, *targets))


def must_copy(node: fx.Node, source: fx.Node) -> bool:
    """Whether without a call the network would return what it is fed, or a weight of its own."""
    is_own = source.op in ("placeholder", "get_attr")
    return is_own and any(user.op == "output" for user in node.users)


def replace_calls(
    graph: fx.Graph, make: Callable[[fx.Node, dict[str, Any]], fx.Node | None], *targets: object
) -> int:
    """Replace each call of the targets and return how many were.

    Args:
        graph: Edited in place.
        make: Given a call and its arguments by name, inserts what computes the same and returns
            it; None leaves the call.
        targets: What is called.
    """
    rewrites = 0
    for node in calls(graph, *targets):
        made = make(node, arguments(node))
        if made is not None:
            replace(node, made)
            rewrites += 1
    return rewrites


def value(node: fx.Node) -> Tensor:
    """Return the fake tensor that says a node's shape, dtype and strides."""
    tensor: Tensor = node.meta["val"]
    return tensor


def arguments(node: fx.Node) -> dict[str, Any]:
    """Return a call's arguments by name, in the schema's order, defaults filled in."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]  # an OpOverload
    given = {**dict(zip((a.name for a in schema), node.args, strict=False)), **node.kwargs}
    return {a.name: given.get(a.name, a.default_value) for a in schema}


def attribute(node: fx.Node) -> Tensor:
    """Return the parameter or buffer that a ``get_attr`` node reads."""
    found: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        found = getattr(found, part)
    assert isinstance(found, Tensor)
    return found.detach()


def normal_dim(dim: int, rank: int) -> int:
    """Return a dimension counted from the front."""
    return dim % rank


def neighbour_groups(dims: list[int]) -> list[tuple[int, int]]:
    """Split ascending dimensions into runs of neighbours, (first, end), the last run first.

    Whoever reduces them in this order, keeping each dimension, meets the others unmoved.
    """
    groups: list[tuple[int, int]] = []
    for dim in reversed(dims):
        if groups and groups[-1][0] == dim + 1:
            groups[-1] = (dim, groups[-1][1])
        else:
            groups.append((dim, dim + 1))
    return groups


def insert(like: fx.Node, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
    """Insert a call in front of `like` and compute the shape and dtype of its value."""
    graph = like.graph
    with graph.inserting_before(like):
        node = graph.call_function(target, args, kwargs)
    node.meta.update({key: like.meta[key] for key in _KEPT_META if key in like.meta})
    fake_args, fake_kwargs = fx.node.map_arg((args, kwargs), value)
    with _fake_mode(like), torch.no_grad():
        node.meta["val"] = target(*fake_args, **fake_kwargs)
    return node


def reshape(like: fx.Node, node: fx.Node, shape: Any) -> fx.Node:
    """Insert a reshape of `node` in front of `like`, or return `node` if it has that shape.

    One size may be -1: it is what is left.
    """
    sizes = [int(d) for d in shape]
    if -1 in sizes:
        sizes[sizes.index(-1)] = value(node).numel() // -math.prod(sizes)
    if list(value(node).shape) == sizes:
        return node
    return insert(like, aten.reshape.default, node, sizes)


def expand_to(like: fx.Node, node: fx.Node, shape: Any) -> fx.Node:
    """Insert a product with ones that expands `node` to `shape`, which keeps every bit."""
    sizes = [int(d) for d in shape]
    own = [*[1] * (len(sizes) - value(node).dim()), *value(node).shape]
    if own == sizes:
        return reshape(like, node, sizes)
    ones = torch.ones([1 if a == b else b for a, b in zip(own, sizes, strict=True)])
    return insert(like, aten.mul.Tensor, node, constant(like, ones, "ones", meets=node))


def repeat_each(like: fx.Node, node: fx.Node, dim: int, times: int) -> fx.Node:
    """Repeat each element of one dimension; the others are grouped to keep the rank at three."""
    shape = value(node).shape
    if times == 1:
        return node
    elements, inner = shape[: dim + 1].numel(), shape[dim + 1 :].numel()
    column = reshape(like, node, [elements, 1, inner])
    repeated = insert(like, aten.cat.default, [column] * times, 1)
    return reshape(like, repeated, [*shape[:dim], shape[dim] * times, *shape[dim + 1 :]])


def multiply_along(like: fx.Node, node: fx.Node, dim: int, matrix: Tensor, name: str) -> fx.Node:
    """Multiply one dimension by a constant matrix of (outputs, inputs): a fully connected layer."""
    last = value(node).dim() - 1
    weight = constant(like, matrix, name, meets=node)
    if dim == last:
        return insert(like, aten.linear.default, node, weight)
    swapped = insert(like, aten.transpose.int, node, dim, last)
    product = insert(like, aten.linear.default, swapped, weight)
    return insert(like, aten.transpose.int, product, dim, last)


def constant(like: fx.Node, tensor: Tensor, name: str, *, meets: fx.Node | None = None) -> fx.Node:
    """Make a tensor a buffer of the graph's module and insert a node that reads it.

    Args:
        like: Where the node goes.
        tensor: Its values. The buffer owns its memory: a view of a larger tensor would end up in
            a ``.pte`` as the beginning of that tensor.
        name: The buffer's name begins with it.
        meets: The value it is computed with, whose dtype it takes; None keeps its own.
    """
    module = like.graph.owning_module
    assert module is not None  # graphs here always come from ExportedProgram.module()
    dtype = tensor.dtype if meets is None else value(meets).dtype
    own = tensor.detach().to(dtype).contiguous()
    if not owns_memory(own):
        own = own.clone()
    index = 0
    while hasattr(module, f"{name}_{index}"):
        index += 1
    module.register_buffer(f"{name}_{index}", own)
    with like.graph.inserting_before(like):
        node = like.graph.get_attr(f"{name}_{index}")
    node.meta["val"] = _fake_mode(like).from_tensor(own, static_shapes=True)
    return node


def replace(node: fx.Node, new: fx.Node) -> None:
    """Let `new` take the place of `node` everywhere and erase `node`.

    Where the network would then return its own input or a constant itself, it returns a copy: no
    file can hand out its input.
    """
    if new.op in ("placeholder", "get_attr") and any(u.op == "output" for u in node.users):
        new = insert(node, aten.clone.default, new)
    node.replace_all_uses_with(new)
    node.graph.erase_node(node)


def _fake_mode(node: fx.Node) -> Any:
    for candidate in node.graph.nodes:
        if isinstance(candidate.meta.get("val"), torch._subclasses.FakeTensor):
            return candidate.meta["val"].fake_mode
    raise AssertionError("an exported graph has fake values")
