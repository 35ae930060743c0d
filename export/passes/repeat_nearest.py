"""Nearest-neighbour upsampling by a whole factor becomes concatenations.

Reason: XNNPACK resizes bilinearly only.

Algebra: repeating each column s times is reshaping (..., W) to (..., W, 1), concatenating s
copies along the last dimension and reshaping to (..., W s); rows likewise. Bit-equal. Factors
that are no whole numbers are left alone.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import aten, calls, insert, replace, reshape, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were changed."""
    rewrites = 0
    for node in calls(graph, aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default):
        source = node.args[0]
        assert isinstance(source, fx.Node)
        before, after = value(source).shape, value(node).shape
        if after[2] % before[2] or after[3] % before[3]:
            continue
        high, wide = after[2] // before[2], after[3] // before[3]
        rows = before[0] * before[1] * before[2]
        result = source
        if wide > 1:
            columns = reshape(node, result, [rows, before[3], 1])
            result = insert(node, aten.cat.default, [columns] * wide, 2)
        if high > 1:
            lines = reshape(node, result, [rows, 1, after[3]])
            result = insert(node, aten.cat.default, [lines] * high, 1)
        replace(node, reshape(node, result, after))
        rewrites += 1
    return rewrites
