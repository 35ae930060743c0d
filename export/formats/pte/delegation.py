"""What stayed outside the delegate, why, what it weighs, and what to do about it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from export.sets.manifest import Leftover

if TYPE_CHECKING:
    from torch.export import ExportedProgram

__all__ = ["count_delegate_calls", "find_leftovers", "macs_of"]


@dataclass(frozen=True, slots=True)
class _Advice:
    cause: str
    fix: str


_UNKNOWN = _Advice(
    "XNNPACK's partitioner has no configuration for it",
    "use an operator that XNNPACK has, or a rewrite in export/passes",
)

_ADVICE: dict[str, _Advice] = {
    "alias_copy": _Advice("a slice over the full range", "leave the slice out"),
    "amax": _Advice(
        "no configuration for a maximum over dimensions",
        "use max_pool2d over the whole map, or max(dim) of a 4-D tensor without its indices",
    ),
    "as_strided_copy": _Advice("raw strides", "write it as slices, reshapes and transposes"),
    "avg_pool2d": _Advice(
        "average pooling with ceil_mode or another divisor", "use ceil_mode=False"
    ),
    "bmm": _Advice("a matrix product in another type than float32", "keep it in float32"),
    "cat": _Advice("fewer than two different inputs", "concatenate different tensors"),
    "clone": _Advice("it changes the order of dimensions in memory", "feed contiguous tensors"),
    "_clone_dim_order": _Advice(
        "it changes the order of dimensions in memory", "feed contiguous tensors"
    ),
    "convolution": _Advice(
        "a convolution XNNPACK has no kernel for (3-D, or weights that are computed)",
        "use a 1-D or 2-D convolution with constant weights",
    ),
    "cumsum": _Advice("no configuration for running sums", "use a matrix product with ones"),
    "elu": _Advice("no configuration for ELU", "use ReLU or hard-swish"),
    "embedding": _Advice("a table look-up", "look up before the network, or one-hot times table"),
    "expand_copy": _Advice(
        "an expand that nothing else broadcasts", "let arithmetic broadcast, or store it expanded"
    ),
    "gather": _Advice("indices that depend on data", "use a mask and a product"),
    "gelu": _Advice("GELU in float16", "keep it in float32"),
    "index": _Advice("indexing by a tensor", "make the index constant, or use slices"),
    "index_select": _Advice("indexing by a tensor", "use slices, or a 1x1 convolution"),
    "linear": _Advice("a weight that is computed", "make the weight a parameter"),
    "_log_softmax": _Advice("no configuration for log-softmax", "return the logits"),
    "max_pool2d": _Advice("a stride larger than the kernel", "use a kernel as large as the stride"),
    "max_pool2d_with_indices": _Advice(
        "max pooling that returns indices, or a stride larger than the kernel",
        "use max_pool2d without indices and a kernel as large as the stride",
    ),
    "mean": _Advice(
        "a mean over other dimensions than height and width of a 4-D tensor",
        "use adaptive_avg_pool2d(1), or a 1x1 convolution with constant weights",
    ),
    "mm": _Advice("a product of two computed matrices", "use bmm"),
    "native_group_norm": _Advice("no configuration for group norm", "use BatchNorm2d"),
    "native_layer_norm": _Advice("no configuration for layer norm", "use BatchNorm2d"),
    "_native_batch_norm_legit_no_training": _Advice(
        "a batch norm that cannot be folded", "put it behind a convolution"
    ),
    "permute_copy": _Advice("a transpose in another type than float32", "keep it in float32"),
    "pow": _Advice("a power other than two", "multiply"),
    "select_copy": _Advice("no configuration for select", "use a slice and a reshape"),
    "slice_copy": _Advice("a slice with a step", "use average pooling with kernel 1 and a stride"),
    "slice_scatter": _Advice("writing into a slice", "concatenate the parts"),
    "_softmax": _Advice("softmax over another dimension than the last", "transpose first"),
    "split_with_sizes_copy": _Advice("no configuration for split and chunk", "use slices"),
    "squeeze_copy": _Advice("no configuration for squeeze", "use reshape"),
    "sum": _Advice(
        "no configuration for sums", "use the mean over height and width times their size"
    ),
    "_to_copy": _Advice("a conversion between types", "keep everything in float32"),
    "_to_dim_order_copy": _Advice(
        "a conversion between types, as of an integer constant", "use float constants"
    ),
    "unsqueeze_copy": _Advice("a new dimension that is not the last", "use reshape"),
    "upsample_nearest2d": _Advice(
        "no configuration for nearest-neighbour resizing", "use bilinear, or ConvTranspose2d"
    ),
    "view_copy": _Advice("a reshape in another type than float32", "keep it in float32"),
    "where": _Advice("a choice by condition", "use a mask and a product, or clamp"),
}  # fmt: skip


def count_delegate_calls(program: Any) -> int:
    """Return how many delegate calls the main method of an emitted program makes."""
    from executorch.exir.schema import DelegateCall

    plan = next(p for p in program.execution_plan if p.name == "forward")
    return sum(
        isinstance(instruction.instr_args, DelegateCall)
        for chain in plan.chains
        for instruction in chain.instructions
    )


def find_leftovers(
    edge: ExportedProgram, whole: ExportedProgram, refusals: Mapping[str, str]
) -> tuple[Leftover, ...]:
    """Report each kind of operator outside the delegate.

    Args:
        edge: The lowered graph, delegates as calls.
        whole: The graph it was lowered from, for the share of the work.
        refusals: The partitioner's own reasons by node name; they come before the table's.

    Returns:
        One entry per operator and cause, the heaviest first.
    """
    total = sum(macs_of(node) for node in whole.graph.nodes) or 1
    groups: dict[tuple[str, str, str], list[fx.Node]] = defaultdict(list)
    for node in _outside(edge.graph.nodes):
        operator = str(getattr(node.target, "__name__", node.target))
        advice = _ADVICE.get(_base_name(operator), _UNKNOWN)
        cause = refusals.get(node.name) or advice.cause
        groups[operator, cause, advice.fix].append(node)
    found = (
        Leftover(
            op=operator,
            count=len(nodes),
            cause=cause,
            mac_share=sum(macs_of(node) for node in nodes) / total,
            fix=fix,
        )
        for (operator, cause, fix), nodes in groups.items()
    )
    return tuple(sorted(found, key=lambda left: (-left.mac_share, -left.count, left.op)))


def _outside(nodes: Iterable[fx.Node]) -> Iterable[fx.Node]:
    for node in nodes:
        name = str(getattr(node.target, "__name__", node.target))
        if node.op == "call_function" and name not in ("getitem", "executorch_call_delegate"):
            yield node


def _base_name(operator: str) -> str:
    """``aten.mean.dim`` -> ``mean``, ``dim_order_ops._to_dim_order_copy.default`` likewise."""
    parts = operator.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def macs_of(node: fx.Node) -> int:
    """Return the multiply-accumulates of a convolution or matrix product, else 0."""
    value = node.meta.get("val")
    if node.op != "call_function" or not isinstance(value, Tensor):
        return 0
    name = _base_name(str(node.target).removeprefix("<EdgeOpOverload: "))
    shapes = [
        _sizes(a.meta["val"])
        for a in node.args
        if isinstance(a, fx.Node) and isinstance(a.meta.get("val"), Tensor)
    ]
    results = math.prod(_sizes(value))
    if name.startswith("conv_transpose") or (name == "convolution" and node.args[6]):
        return math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if name in ("conv1d", "conv2d", "conv3d", "convolution"):
        return results * math.prod(shapes[1][1:])
    if name in ("linear", "mm", "bmm", "matmul"):
        return results * shapes[0][-1]
    if name in ("addmm", "baddbmm"):
        return results * shapes[1][-1]
    return 0


def _sizes(tensor: Tensor) -> list[int]:
    """Return a shape; for an open batch the one it was captured with, since asking fixes it."""
    return [size if isinstance(size, int) else size.node.hint for size in tensor.shape]
