"""A border of zeros goes into the convolutions that alone read it.

Reason: ExecuTorch pads in float, with a conversion on each side, where a convolution pads for
nothing. Networks with TensorFlow's padding have a border before every convolution; it is the same
on both sides wherever the stride is one.

Algebra: none. A border that differs from side to side stays.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import arguments, aten, calls, insert, is_call, replace
from export.quantization.roles import PADS, is_zero_pad

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many pads were folded."""
    rewrites = 0
    for node in calls(graph, *PADS):
        amounts = [*arguments(node)["pad"], 0, 0, 0, 0][:4]  # left, right, top, bottom
        left, right, top, bottom = amounts
        spatial = not any(arguments(node)["pad"][4:])
        readers = list(node.users)
        if not (is_zero_pad(node) and spatial and left == right and top == bottom):
            continue
        if not readers or not all(_reads(reader, node) for reader in readers):
            continue
        for reader in readers:
            given = arguments(reader)
            own = given["padding"]
            vertical, horizontal = (own[0], own[-1])
            new = {
                **given,
                "input": node.args[0],
                "padding": [vertical + top, horizontal + left],
            }
            replace(reader, insert(reader, aten.conv2d.default, *new.values()))
        graph.erase_node(node)
        rewrites += 1
    return rewrites


def _reads(reader: fx.Node, node: fx.Node) -> bool:
    return is_call(reader, aten.conv2d.default) and reader.args[0] is node
