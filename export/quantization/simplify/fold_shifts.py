"""A number added to a convolution's result goes into its bias.

Reason: hard-sigmoid's 3 behind a squeeze-and-excite convolution costs an operator and a rounding.

Algebra: (W x + b) + c = W x + (b + c).
"""

from __future__ import annotations

import torch
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
)
from export.quantization.roles import is_number

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many sums were folded."""
    rewrites = 0
    for node in calls(graph, aten.add.Tensor):
        given = arguments(node)
        layer, shift = given["self"], given["other"]
        if not is_call(layer, aten.conv2d.default, aten.linear.default) or len(layer.users) > 1:
            continue
        if not is_number(shift) or given["alpha"] != 1:
            continue
        own = arguments(layer)
        if any(own[name] is not None and own[name].op != "get_attr" for name in ("weight", "bias")):
            continue
        channels = attribute(own["weight"]).shape[0]
        old = attribute(own["bias"]).double() if own["bias"] is not None else torch.zeros(channels)
        new = {**own, "bias": constant(node, (old + shift).float(), "shifted_bias")}
        replace(node, insert(node, layer.target, *new.values()))
        graph.erase_node(layer)
        rewrites += 1
    return rewrites
