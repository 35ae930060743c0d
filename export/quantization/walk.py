"""Run a graph operator by operator on many samples at once, so that each can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from export.passes._editing import attribute

__all__ = ["Compute", "call", "walk"]

Compute = Callable[[fx.Node, list[Any]], Any]
"""From a call and its operands, one entry a node of ``all_input_nodes``, to its value."""


def walk(
    graph: fx.Graph, samples: Sequence[Sequence[Tensor]], compute: Compute
) -> Iterator[tuple[fx.Node, list[Any]]]:
    """Yield every node that makes a value, and the output, with its value for each sample.

    What is yielded may be changed in place: later operators read it from the same list. A value is
    forgotten after its last reader, so all samples may be in memory at once.

    Args:
        graph: Of an exported module.
        samples: Each a tensor per input.
        compute: What a call is computed with, `call` for PyTorch's own result.
    """
    last: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        for operand in node.all_input_nodes:
            last[operand] = node
    values: dict[fx.Node, list[Any]] = {}
    inputs = iter(range(len(samples[0])))
    for node in graph.nodes:
        if node.op == "output":
            yield node, [_returned(node, values, i) for i in range(len(samples))]
            return
        if node.op == "placeholder":
            index = next(inputs)
            values[node] = [sample[index] for sample in samples]
        elif node.op == "get_attr":
            values[node] = [attribute(node)] * len(samples)
            continue
        elif node.op == "call_function":
            read = node.all_input_nodes
            with torch.no_grad():
                values[node] = [
                    compute(node, [values[n][i] for n in read]) for i in range(len(samples))
                ]
            for operand in read:
                if last[operand] is node:
                    del values[operand]
        else:
            continue
        yield node, values[node]


def _returned(output: fx.Node, values: dict[fx.Node, list[Any]], index: int) -> Any:
    return fx.node.map_arg(output.args[0], lambda node: values[node][index])


def call(node: fx.Node, operands: list[Any]) -> Any:
    """Compute a call as PyTorch does."""
    table = dict(zip(node.all_input_nodes, operands, strict=True))
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), table.__getitem__)
    return node.target(*args, **kwargs)  # type: ignore[operator]  # call_function
