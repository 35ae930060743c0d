"""Resize: nearest, linear and cubic, along any axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array
from export.onnx_to_tflite.interpolation import interpolation_matrix, source_coordinates
from export.onnx_to_tflite.layout import NHWC, Order
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.ops.matmul import fully_connected
from export.onnx_to_tflite.reader import Node, refuse
from export.onnx_to_tflite.take import take
from export.onnx_to_tflite.window import bind_image, image

#: Coordinates that RESIZE_BILINEAR knows, with its options.
BILINEAR = {
    "align_corners": {"alignCorners": True, "halfPixelCenters": False},
    "asymmetric": {"alignCorners": False, "halfPixelCenters": False},
    "half_pixel": {"alignCorners": False, "halfPixelCenters": True},
    "half_pixel_symmetric": {"alignCorners": False, "halfPixelCenters": True},
    "pytorch_half_pixel": {"alignCorners": False, "halfPixelCenters": True},
}


@lowers("Resize", layout="nhwc")
def resize(node: Node, build: Builder) -> None:
    """RESIZE_BILINEAR, the copies of the nearest neighbour, or one matrix product per axis."""
    shape, out = build.shape(node.inputs[0]), build.shape(node.outputs[0])
    if node.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise refuse(node, "only the policy 'stretch' is lowered")
    scales = scales_of(node, build, shape, out)
    mode = node.attrs.get("mode", "nearest")
    if mode == "nearest":
        nearest(node, build, scales)
    elif mode == "linear" and is_bilinear(node, shape, out, scales):
        x = image(build, node.inputs[0])
        height, width = out[2:] if len(out) == 4 else (1, out[2])
        size = build.const_tensor("size", (height, width), np.int32)
        options = BILINEAR[node.attrs.get("coordinate_transformation_mode", "half_pixel")]
        y = build.emit("RESIZE_BILINEAR", [x, size], (out[0], height, width, out[1]), options)
        bind_image(build, node.outputs[0], y)
    else:
        by_matrices(node, build, scales, mode)


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


def is_ratio(scale: float, size: int, out: int) -> bool:
    """Whether a scale is the ratio of the sizes, to less than a thousandth of an element."""
    return abs(scale * size - out) < 1e-3


def require_ratio(node: Node, coordinates: str, size: int, out: int, scale: float) -> None:
    """Refuse aligned corners at another scale, where ONNX and onnxruntime differ."""
    if coordinates == "align_corners" and not is_ratio(scale, size, out):
        raise refuse(node, f"align_corners with scale {scale:g} of {size} elements to {out}")


def is_bilinear(
    node: Node, shape: Sequence[int], out: Sequence[int], scales: Sequence[np.float32]
) -> bool:
    """Whether RESIZE_BILINEAR does it: its scale is the ratio of the sizes, on H and W only."""
    coordinates = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    if len(shape) not in (3, 4) or shape[:2] != out[:2] or coordinates not in BILINEAR:
        return False
    return all(
        is_ratio(float(scales[axis]), shape[axis], out[axis])
        and not (node.attrs.get("antialias", 0) and out[axis] < shape[axis])
        and not (coordinates == "pytorch_half_pixel" and out[axis] == 1 and shape[axis] > 1)
        for axis in range(2, len(shape))
    )


def nearest(node: Node, build: Builder, scales: Sequence[np.float32]) -> None:
    """Take the elements that ONNX's rule selects, axis by axis."""
    shape, out = build.shape(node.inputs[0]), build.shape(node.outputs[0])
    order: Order = NHWC if len(shape) == 4 else build.value(node.inputs[0]).order
    y = build.tensor(node.inputs[0], order)
    for axis, size in enumerate(shape):
        indices = nearest_indices(node, size, out[axis], scales[axis])
        y = take(build, y, order.index(axis), indices)
    build.bind(node.outputs[0], y, order)


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
        require_ratio(node, coordinates, size, out, float(scale))
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


def by_matrices(node: Node, build: Builder, scales: Sequence[np.float32], mode: str) -> None:
    """FULLY_CONNECTED along each axis that changes, the axis brought to the end before it.

    TFLite has no cubic kernel and none that antialiases; a product with a constant matrix is
    delegated.
    """
    shape, out = build.shape(node.inputs[0]), build.shape(node.outputs[0])
    value = build.value(node.inputs[0])
    y, order, sizes = value.tensor, value.order, list(shape)
    changed = [a for a in range(len(shape)) if shape[a] != out[a] or scales[a] != 1]
    for axis in sorted(changed, key=order.index, reverse=True):
        matrix = axis_matrix(node, shape[axis], out[axis], float(scales[axis]), mode)
        last = (*(a for a in order if a != axis), axis)
        y = build.reorder(y, sizes, order, last)
        y = fully_connected(build, y, matrix.astype(np.float32), None, keep_dims=True)
        order, sizes[axis] = last, out[axis]
    build.bind(node.outputs[0], y, order)


def axis_matrix(node: Node, size: int, out: int, scale: float, mode: str) -> Array:
    """Weights (out, size) of one axis by the node's attributes."""
    coordinates = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    require_ratio(node, coordinates, size, out, scale)
    places = source_coordinates(coordinates, size, out, scale)
    if places is None:
        raise refuse(node, f"coordinates {coordinates!r} are not lowered")
    return interpolation_matrix(
        places,
        size,
        mode=mode,
        scale=scale,
        antialias=bool(node.attrs.get("antialias", 0)),
        cubic_a=float(node.attrs.get("cubic_coeff_a", -0.75)),
        exclude_outside=bool(node.attrs.get("exclude_outside", 0)),
    )
