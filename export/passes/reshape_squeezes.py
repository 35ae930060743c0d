"""``squeeze``, ``unsqueeze`` and ``flatten`` become reshapes.

Reason: XNNPACK takes ``unsqueeze_copy`` only for a new last dimension and has no configuration
for ``squeeze_copy`` with several dimensions; it takes any static reshape.

Algebra: none, the same elements in the same order; bit-equal.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, replace, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(
        graph,
        aten.squeeze.default,
        aten.squeeze.dim,
        aten.squeeze.dims,
        aten.unsqueeze.default,
    ):
        source = node.args[0]
        assert isinstance(source, fx.Node)
        replace(node, reshape(node, source, value(node).shape))
        rewrites += 1
    return rewrites
