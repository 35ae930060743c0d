"""Concat, Split, Slice."""

from __future__ import annotations

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.ops import ANY_TYPE, lowers
from export.onnx_to_tflite.ops.arithmetic import choose_order
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.subsample import subsample
from export.onnx_to_tflite.take import take


@lowers("Concat", layout="any", types=ANY_TYPE)
def concat(node: Node, build: Builder) -> None:
    """CONCATENATION in the order of the largest operand."""
    rank = len(build.shape(node.outputs[0]))
    order = choose_order(build, node.inputs, rank)
    axis = order.index(node.attrs["axis"] % rank)
    operands = [build.tensor(name, order) for name in node.inputs]
    build.bind(node.outputs[0], build.concat(operands, axis), order)


@lowers("Split", layout="any", types=ANY_TYPE)
def split(node: Node, build: Builder) -> None:
    """One SLICE per part that somebody reads; the parts' sizes are static."""
    if node.input(1):
        build.need_const(node, 1, "the sizes")
    value = build.value(node.inputs[0])
    axis = node.attrs.get("axis", 0) % len(value.order)
    place = value.order.index(axis)
    start = 0
    for name in node.outputs:
        size = build.shape(name)[axis]
        build.bind(name, build.slice(value.tensor, place, start, size), value.order)
        start += size


@lowers("Slice", layout="any", types=ANY_TYPE)
def slice_(node: Node, build: Builder) -> None:
    """SLICE, or a strided form where a step is larger than one."""
    value = build.value(node.inputs[0])
    shape = build.shape(node.inputs[0])
    rank = len(shape)
    starts, ends = build.ints(node, 1, "starts"), build.ints(node, 2, "ends")
    axes = build.ints(node, 3, "axes") or tuple(range(len(starts or ())))
    steps = build.ints(node, 4, "steps") or (1,) * len(axes)
    if starts is None or ends is None:
        raise refuse(node, "starts and ends are missing")
    begin, stride = [0] * rank, [1] * rank
    sizes = build.shape(node.outputs[0])
    x = value.tensor
    for axis, start, step in zip((a % rank for a in axes), starts, steps, strict=True):
        size = shape[axis]
        first = start + size if start < 0 else start
        if step < 0:  # the whole axis is taken here, in its new order
            first = min(first, size - 1)
            indices = [first + i * step for i in range(sizes[axis])]
            x = take(build, x, value.order.index(axis), indices)
            continue
        begin[axis] = min(max(first, 0), size)
        stride[axis] = step
    in_memory = [[numbers[a] for a in value.order] for numbers in (begin, sizes, stride)]
    build.bind(node.outputs[0], subsample(build, x, *in_memory), value.order)
