"""An ``expand`` is dropped where its users broadcast anyway, else it is a product with ones.

Reason: XNNPACK does not take ``expand_copy``, while its arithmetic broadcasts by itself. ParC
expands its positional embedding (1, C, r, 1) over the map before adding it; leaving it small
also makes the file smaller than folding the expanded tensor (9.5 against 10.4 MB at 224).

Algebra: ``expand(p) + x = p + x`` whenever the result keeps its shape. Otherwise
``expand(p) = p * ones``, the ones having the expanded dimensions only. Bit-equal.
"""

from __future__ import annotations

import torch
from torch import fx

from export.passes._editing import aten, calls, expand_to, is_call, replace, value

__all__ = ["rewrite"]

_BROADCASTING = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many calls were dropped."""
    rewrites = 0
    for node in calls(graph, aten.expand.default, aten.expand_as.default):
        source = node.args[0]
        assert isinstance(source, fx.Node)
        for user in list(node.users):
            if _broadcasts(user, node, source):
                user.replace_input_with(node, source)
        if node.users:
            if not value(source).is_floating_point():
                continue
            replace(node, expand_to(node, source, value(node).shape))
        else:
            graph.erase_node(node)
        rewrites += 1
    return rewrites


def _broadcasts(user: fx.Node, expanded: fx.Node, source: fx.Node) -> bool:
    """Whether `user` gives the same shape when it reads `source` instead of `expanded`."""
    if not is_call(user, *_BROADCASTING):
        return False
    shapes = [
        value(source if a is expanded else a).shape for a in user.args if isinstance(a, fx.Node)
    ]
    return bool(torch.broadcast_shapes(*shapes) == value(user).shape)
