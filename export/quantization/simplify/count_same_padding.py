"""A convolution that is padded by a word gets numbers: ``padding="same"`` and ``"valid"``.

Reason: the calls that compute in integers are known by one form of the convolution, and the other
would stay in float, where ExecuTorch cannot lower it behind a value in 8 bits.

Algebra: none. A kernel of k taps, d apart, needs d (k - 1) pixels, half of them in front; where
that is odd, the one more behind is a border of zeros of its own.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from export.passes._editing import aten, insert, replace_calls, value

__all__ = ["rewrite"]


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many convolutions were changed."""
    return replace_calls(graph, _pad_by_numbers, aten.conv2d.padding)


def _pad_by_numbers(node: fx.Node, given: dict[str, Any]) -> fx.Node:
    kernel, steps = value(given["weight"]).shape[2:], given["dilation"]
    vertical, horizontal = (
        step * (taps - 1) if given["padding"] == "same" else 0
        for taps, step in zip(kernel, (steps[0], steps[-1]), strict=True)
    )
    top, left = vertical // 2, horizontal // 2
    source, padding = given["input"], [top, left]
    if vertical % 2 or horizontal % 2:
        border = [left, horizontal - left, top, vertical - top]
        source, padding = insert(node, aten.pad.default, source, border), [0, 0]
    new = {**given, "input": source, "padding": padding}
    return insert(node, aten.conv2d.default, *new.values())
