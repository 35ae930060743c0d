"""A convolution of signals becomes one of images that are one pixel high.

Reason: neither delegate has an 8-bit convolution of signals, and ExecuTorch cannot even lower one
in float behind a value in 8 bits.

Algebra: none; (N, C, L) is (N, C, 1, L). A clamp behind it goes with it, so that it stays the
saturation of the convolution's own quantiser.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import (
    arguments,
    aten,
    attribute,
    calls,
    constant,
    insert,
    is_call,
    replace,
    reshape,
    value,
)
from export.quantization.roles import CLAMPS

__all__ = ["rewrite"]

_WIDER = {
    aten.conv1d.default: aten.conv2d.default,
    aten.conv1d.padding: aten.conv2d.padding,
}


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many convolutions were changed."""
    rewrites = 0
    for node in calls(graph, *_WIDER):
        given = arguments(node)
        source, weight, padding = given["input"], given["weight"], given["padding"]
        if weight.op != "get_attr":
            continue
        *batch, channels, length = value(source).shape
        new = {
            **given,
            "input": reshape(node, source, [*(batch or [1]), channels, 1, length]),
            "weight": constant(node, attribute(weight).unsqueeze(2), "wider_weight"),
            "stride": [1, *given["stride"]],
            "padding": padding if isinstance(padding, str) else [0, *padding],
            "dilation": [1, *given["dilation"]],
        }
        made = insert(node, _WIDER[node.target], *new.values())  # type: ignore[index]  # one of them
        last = node
        (reader, *others) = list(node.users) or [node]
        if not others and is_call(reader, *CLAMPS):
            last, made = reader, insert(node, reader.target, made, *reader.args[1:])
        replace(last, reshape(last, made, value(last).shape))
        if last is not node:
            graph.erase_node(node)
        rewrites += 1
    return rewrites
