"""Let XNNPACK take what it can run for any batch, although ExecuTorch 1.5.1 does not offer it.

A size of zero in a slice stands for "as large as the input" in XNNPACK, as it does in a reshape.
ExecuTorch writes it for reshapes only, and leaves slices and bilinear resizing of an open batch
outside the delegate. This reaches into its partitioner; on other versions nothing is changed, and
those operators stay outside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from export.formats._shortcuts import are_checked, replace_method

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram

__all__ = ["delegate_open_batch"]


@contextlib.contextmanager
def delegate_open_batch() -> Iterator[None]:
    """Delegate slices, bilinear resizing and ceil-mode pools of tensors of an open batch."""
    with contextlib.ExitStack() as stack:
        if are_checked("executorch"):
            from executorch.backends.xnnpack.operators import op_slice_copy
            from executorch.backends.xnnpack.partition.config import generic_node_configs

            config = generic_node_configs.SliceCopyConfig
            check = _check_slice(config.check_constraints)
            stack.enter_context(replace_method(config, "check_constraints", check))
            stack.enter_context(replace_method(op_slice_copy, "get_shape", _zero_where_open))
            name = "is_shape_dynamic"
            stack.enter_context(replace_method(generic_node_configs, name, _is_map_open))
        yield


def _check_slice(check: Callable[..., bool]) -> Any:
    def check_slice(self: Any, node: fx.Node, exported: ExportedProgram) -> bool:
        source, dim, *_ = node.args
        value = source.meta["val"]  # type: ignore[union-attr]  # a slice's source is a node
        open_dims = [i for i, size in enumerate(value.shape) if not isinstance(size, int)]
        step = node.args[4] if len(node.args) > 4 else 1
        if open_dims and dim % value.dim() not in open_dims and step == 1:
            return bool(self.check_common_constraints(node, exported))
        return check(self, node, exported)

    return check_slice


def _zero_where_open(node: fx.Node) -> list[int]:
    return [size if isinstance(size, int) else 0 for size in node.meta["val"].shape]


def _is_map_open(node: fx.Node) -> bool:
    """Whether height or width is open; the batch may be."""
    return any(not isinstance(size, int) for size in node.meta["val"].shape[2:])
