"""Padding that an average pool counts is applied in front of it, a divisor of its own behind it.

Reason: XNNPACK's average pooling leaves padding out of the mean, so its partitioner refuses
``count_include_pad=True``, PyTorch's default, as soon as there is padding; it refuses
``ceil_mode`` even where rounding up or down makes no difference, and another divisor than the
window's size.

Algebra: ``avg_pool(x, padding=p) = avg_pool(pad(x, p), padding=0)``, the padding being zeros;
bit-equal. With k the window's size, ``avg_pool(x, divisor=d) = avg_pool(pad(x, p)) k / d``; equal
within 1e-6.
"""

from __future__ import annotations

from torch import fx

from export.passes._editing import arguments, aten, calls, insert, replace, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many pools were changed."""
    rewrites = 0
    for node in calls(graph, aten.avg_pool2d.default):
        given, source = arguments(node), node.args[0]
        assert isinstance(source, fx.Node)
        high, wide = _pair(given["padding"])
        kernel, divisor = _pair(given["kernel_size"]), given["divisor_override"]
        counts_padding = (given["count_include_pad"] or divisor) and (high or wide)
        if not counts_padding and not given["ceil_mode"] and not divisor:
            continue
        if counts_padding:
            source = insert(node, aten.constant_pad_nd.default, source, [wide, wide, high, high])
            high = wide = 0
        floor = insert(
            node,
            aten.avg_pool2d.default,
            source,
            given["kernel_size"],
            given["stride"] or given["kernel_size"],
            [high, wide],
            False,
            given["count_include_pad"],
        )
        if value(floor).shape != value(node).shape:  # ceil_mode adds a row or column
            graph.erase_node(floor)
            if source is not node.args[0]:
                graph.erase_node(source)
            continue
        if divisor:
            floor = insert(node, aten.mul.Tensor, floor, kernel[0] * kernel[1] / divisor)
        replace(node, floor)
        rewrites += 1
    return rewrites


def _pair(padding: int | list[int]) -> tuple[int, int]:
    both = [padding] if isinstance(padding, int) else list(padding)
    return both[0], both[-1]
