"""Move an elementwise operator from behind a CONCATENATION to in front of it.

Behind it the operator reads and writes the joined tensor once more; in front of it the operators
that make the operands take it into their weights or their fused activation, for nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from export.onnx_to_tflite.graph import Graph, Op, Tensor, constant

__all__ = ["push_through_concat"]


def push_through_concat(graph: Graph, can_take: Callable[[Op, Op], bool]) -> bool:
    """Push every operator that all makers of the concatenation's operands can take.

    Args:
        graph: Changed in place.
        can_take: Whether a maker (first) will absorb the elementwise operator (second).

    Returns:
        Whether anything changed.
    """
    producers, uses, consumers = graph.producers(), graph.use_counts(), graph.consumers()
    replaced: dict[Op, list[Op]] = {}
    for concat in graph.ops:
        if concat.kind != "CONCATENATION" or uses[concat.output] != 1:
            continue
        if concat.options["axis"] != len(concat.output.shape) - 1 or concat in replaced:
            continue
        reader = next(iter(consumers.get(concat.output, [])), None)
        makers = [producers.get(t) for t in concat.inputs if t is not None]
        if reader is None or reader.outputs[0].shape != concat.output.shape or reader in replaced:
            continue
        if all(
            maker is not None and uses[maker.outputs[0]] == 1 and can_take(maker, reader)
            for maker in makers
        ):
            replaced[concat] = []
            replaced[reader] = _push(concat, reader)
    graph.ops = [new for op in graph.ops for new in replaced.get(op, [op])]
    return bool(replaced)


def _push(concat: Op, reader: Op) -> list[Op]:
    """The elementwise operator once per operand, then the concatenation of their results."""
    ops, parts = [], []
    start = 0
    for tensor in concat.inputs:
        if tensor is None:
            continue
        size = tensor.shape[-1]
        out = Tensor(name=f"{tensor.name};pushed", shape=tensor.shape, dtype=tensor.dtype)
        inputs = tuple(
            tensor if t is concat.output else _channels(t, start, size, concat.output.shape[-1])
            for t in reader.inputs
        )
        ops.append(reader.with_fields(inputs=inputs, outputs=(out,)))
        parts.append(out)
        start += size
    return [*ops, concat.with_fields(inputs=tuple(parts), outputs=reader.outputs)]


def _channels(tensor: Tensor | None, start: int, size: int, channels: int) -> Tensor | None:
    """The part of a constant that belongs to some channels; one number belongs to all."""
    if tensor is None or tensor.data is None or tensor.data.size == 1:
        return tensor
    if tensor.data.shape[-1] != channels:
        raise ValueError(f"{tensor.name}: {tensor.data.shape} is no constant per channel")
    return constant(tensor.name, np.ascontiguousarray(tensor.data[..., start : start + size]))
