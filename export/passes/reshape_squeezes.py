"""``squeeze``, ``unsqueeze`` and ``flatten`` become reshapes.

Reason: XNNPACK takes ``unsqueeze_copy`` only for a new last dimension and has no configuration
for ``squeeze_copy`` with several dimensions; it takes any static reshape.

Algebra: none, the same elements in the same order; bit-equal.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, replace_calls, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    return replace_calls(
        graph, _reshape, aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims,
        aten.unsqueeze.default,
    )  # fmt: skip


def _reshape(node: fx.Node, given: dict[str, Any]) -> fx.Node:
    return reshape(node, given["self"], value(node).shape)
