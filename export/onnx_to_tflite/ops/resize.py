"""Resize, nearest and linear, over the two spatial axes of an image."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array, Tensor
from export.onnx_to_tflite.layout import NHWC
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.ops.slicing import MOST_RUNS, consecutive_runs
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.subsample import subsample


@lowers("Resize", layout="nhwc")
def resize(node: Node, build: Builder) -> None:
    """RESIZE_BILINEAR, or for the nearest neighbour the copies that ONNX's rule selects."""
    shape, out = build.shape(node.inputs[0]), build.shape(node.outputs[0])
    if len(shape) != 4 or shape[:2] != out[:2]:
        raise refuse(node, f"{shape} to {out}: only H and W of an image are resized")
    if node.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise refuse(node, "only the policy 'stretch' is lowered")
    scales = scales_of(node, build, shape, out)
    x = build.nhwc(node.inputs[0])
    mode = node.attrs.get("mode", "nearest")
    if mode == "linear":
        y = bilinear(node, build, x, shape, out, scales)
    elif mode == "nearest":
        y = x
        for axis in (2, 3):
            indices = nearest_indices(node, shape[axis], out[axis], scales[axis])
            y = select(build, y, axis - 1, indices)
    else:
        raise refuse(node, f"mode {mode!r} is not lowered, only nearest and linear")
    build.bind(node.outputs[0], y, NHWC)


def scales_of(
    node: Node, build: Builder, shape: tuple[int, ...], out: tuple[int, ...]
) -> list[np.float32]:
    """Scale of each axis: the one given, else the ratio of the sizes."""
    scales = [np.float32(b / a) for a, b in zip(shape, out, strict=True)]
    for index in (1, 2, 3):
        if node.input(index):
            build.need_const(node, index, "roi, scales and sizes")
    given = build.const(node.input(2))
    if given is None or not given.size:
        return scales
    axes = node.attrs.get("axes") or range(len(shape))
    for axis, scale in zip(axes, given, strict=True):
        scales[axis % len(shape)] = np.float32(scale)
    return scales


def is_ratio(scale: np.float32, size: int, out: int) -> bool:
    """Whether a scale is the ratio of the sizes, to less than a thousandth of an element."""
    return abs(float(scale) * size - out) < 1e-3


def bilinear(
    node: Node,
    build: Builder,
    x: Tensor,
    shape: tuple[int, ...],
    out: tuple[int, ...],
    scales: list[np.float32],
) -> Tensor:
    """RESIZE_BILINEAR, whose scale is always the ratio of the sizes."""
    coordinates = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    half_pixel = coordinates in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
    corners = coordinates == "align_corners"
    if not (half_pixel or corners or coordinates == "asymmetric"):
        raise refuse(node, f"coordinates {coordinates!r} are not lowered")
    for axis in (2, 3):
        if node.attrs.get("antialias", 0) and out[axis] < shape[axis]:
            raise refuse(node, "antialiasing is not lowered")
        if not is_ratio(scales[axis], shape[axis], out[axis]):
            raise refuse(
                node,
                f"scale {scales[axis]:g} of {shape[axis]} elements is not {out[axis]}, "
                "TFLite knows no other scale than the ratio of the sizes",
            )
        if coordinates == "pytorch_half_pixel" and out[axis] == 1 and shape[axis] > 1:
            raise refuse(node, "pytorch_half_pixel to a single element is not lowered")
    operand = build.const_tensor("size", out[2:], np.int32)
    options = {"alignCorners": corners, "halfPixelCenters": half_pixel}
    return build.emit("RESIZE_BILINEAR", [x, operand], (out[0], out[2], out[3], out[1]), options)


def nearest_indices(node: Node, size: int, out: int, scale: np.float32) -> list[int]:
    """Source element of each output element by ONNX's rule, in float32 as onnxruntime has it."""
    coordinates = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    at = np.arange(out, dtype=np.float32)
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        source = (at + np.float32(0.5)) / scale - np.float32(0.5)
        if coordinates == "pytorch_half_pixel" and out == 1:
            source = np.zeros_like(at)
    elif coordinates == "asymmetric":
        source = at / scale
    elif coordinates == "align_corners":
        if not is_ratio(scale, size, out):
            raise refuse(node, f"align_corners with scale {scale:g} of {size} elements to {out}")
        source = at * np.float32(size - 1) / np.float32(max(out - 1, 1))
    else:
        raise refuse(node, f"coordinates {coordinates!r} are not lowered")
    if out == size and scale == 1:
        source = at
    rounding = node.attrs.get("nearest_mode", "round_prefer_floor")
    rules: dict[str, Callable[[Array], Array]] = {
        "ceil": np.ceil,
        "floor": np.floor,
        "round_prefer_ceil": lambda v: np.floor(v + np.float32(0.5)),
        "round_prefer_floor": lambda v: np.ceil(v - np.float32(0.5)),
    }
    return [int(i) for i in np.clip(rules[rounding](source), 0, size - 1)]


def select(build: Builder, x: Tensor, axis: int, indices: list[int]) -> Tensor:
    """Take elements of a physical axis, repeated or skipped, in the cheapest delegated form."""
    size = x.shape[axis]
    if indices == list(range(size)):
        return x
    factor = Fraction(len(indices), size)
    if factor.denominator == 1 and indices == [i // factor.numerator for i in range(len(indices))]:
        return repeat(build, x, axis, factor.numerator)
    steps = set(np.diff(indices).tolist())
    if len(steps) == 1 and min(steps) > 1:
        begin, sizes, step = [0] * 4, list(x.shape), [1] * 4
        begin[axis], sizes[axis], step[axis] = indices[0], len(indices), min(steps)
        return subsample(build, x, begin, sizes, step)
    runs = consecutive_runs(indices)
    if len(runs) <= MOST_RUNS:
        return build.concat([build.slice(x, axis, start, n) for start, n in runs], axis)
    shape = [len(indices) if i == axis else d for i, d in enumerate(x.shape)]
    operand = build.const_tensor("indices", indices, np.int32)
    return build.emit("GATHER", [x, operand], shape, {"axis": axis, "batchDims": 0})


def repeat(build: Builder, x: Tensor, axis: int, times: int) -> Tensor:
    """Repeat each element: copies side by side on the next axis, seen as more of this one.

    RESIZE_NEAREST_NEIGHBOR is not delegated; CONCATENATION and RESHAPE are.
    """
    inner = int(np.prod(x.shape[axis + 1 :]))
    rows = int(np.prod(x.shape[: axis + 1]))
    flat = build.reshape(x, (1, 1, rows, inner))
    wide = build.concat([flat] * times, 3)
    shape = list(x.shape)
    shape[axis] *= times
    return build.reshape(wide, shape)
