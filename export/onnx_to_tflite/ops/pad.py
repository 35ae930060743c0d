"""Pad in every mode, from operators that the delegate takes."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.ops import NUMBERS, lowers
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.take import take

#: numpy's names of ONNX's modes that repeat elements of the input.
REPEATING = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}


@lowers("Pad", layout="any", types=NUMBERS)
def pad(node: Node, build: Builder) -> None:
    """PAD with zeros, plus a constant border for other values; SLICEs for repeating modes.

    PADV2 and MIRROR_PAD are not delegated. Zero plus a value is that value, and an element plus
    zero is that element, so the sum is exact.
    """
    value = build.value(node.inputs[0])
    shape = build.shape(node.inputs[0])
    rank = len(shape)
    mode = node.attrs.get("mode", "constant")
    numbers = build.ints(node, 1, "pads") or (0,) * (2 * rank)
    axes = build.ints(node, 3, "axes") or tuple(range(rank))
    pads = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pads[axis % rank] = (numbers[i], numbers[i + len(axes)])
    fill = 0.0
    if mode == "constant" and node.input(2):
        fill = build.need_const(node, 2, "the value").reshape(()).item()
    elif mode != "constant" and mode not in REPEATING:
        raise refuse(node, f"mode {mode!r} is not lowered, only constant, edge, reflect, wrap")
    x = value.tensor
    if rank > 5 and x.dtype != np.float32:
        raise refuse(node, f"{rank} axes, the kernel pads at most 5 of integers")
    for axis, (before, after) in enumerate(pads):
        place = value.order.index(axis)
        x = crop(build, x, place, max(-before, 0), max(-after, 0))
    grown = [(max(before, 0), max(after, 0)) for before, after in pads]
    physical = [grown[axis] for axis in value.order]
    if mode == "constant":
        x = constant_pad(build, x, physical, fill)
    else:
        for place, (before, after) in enumerate(physical):
            x = repeating_pad(build, x, place, before, after, mode)
    build.bind(node.outputs[0], x, value.order)


def crop(build: Builder, x: Tensor, place: int, before: int, after: int) -> Tensor:
    """Cut elements off both ends of a physical axis."""
    return build.slice(x, place, before, x.shape[place] - before - after)


def constant_pad(build: Builder, x: Tensor, pads: list[tuple[int, int]], fill: float) -> Tensor:
    """PAD with zeros, then add the border where it is not zero."""
    y = build.pad(x, pads)
    if fill == 0.0 or y is x:
        return y
    padded = [(d, p) for d, p in zip(x.shape, pads, strict=True)]
    # Axes without pad have size one in the border and are broadcast.
    inner = np.zeros([d if any(p) else 1 for d, p in padded], x.dtype)
    border = np.pad(inner, [p if any(p) else (0, 0) for _, p in padded], constant_values=fill)
    return build.binary("ADD", y, build.const_tensor("border", border, x.dtype))


def repeating_pad(
    build: Builder, x: Tensor, place: int, before: int, after: int, mode: str
) -> Tensor:
    """The elements that make up the padded axis: SLICEs, many of them as one GATHER."""
    if not before and not after:
        return x
    indices = np.pad(np.arange(x.shape[place]), (before, after), mode=REPEATING[mode])  # type: ignore[call-overload] # the mode is one of three known names
    return take(build, x, place, indices.tolist())
