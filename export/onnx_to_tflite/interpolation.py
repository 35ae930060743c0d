"""Matrices of ONNX's linear and cubic interpolation along one axis, each output a weighted sum."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.graph import Array

__all__ = ["interpolation_matrix", "source_coordinates"]

#: Taps on either side of a coordinate.
REACH = {"linear": 1, "cubic": 2}


def source_coordinates(coordinates: str, size: int, out: int, scale: float) -> Array | None:
    """Return where each output element lies among the input's, None for an unknown rule.

    Args:
        coordinates: ONNX's coordinate_transformation_mode.
        size: Elements of the input.
        out: Elements of the output.
        scale: Output over input, as the node gives it.
    """
    at = np.arange(out, dtype=np.float64)
    if coordinates == "pytorch_half_pixel" and out == 1:
        return np.zeros(1)
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        return (at + 0.5) / scale - 0.5
    if coordinates == "half_pixel_symmetric":
        centre = size / 2 * (1 - out / (scale * size))
        return centre + (at + 0.5) / scale - 0.5
    if coordinates == "asymmetric":
        return at / scale
    if coordinates == "align_corners":
        return at * ((size - 1) / max(out - 1, 1))
    return None


def interpolation_matrix(
    places: Array,
    size: int,
    *,
    mode: str,
    scale: float,
    antialias: bool,
    cubic_a: float,
    exclude_outside: bool,
) -> Array:
    """Return the weights (out, size) of each input element in each output element, float64.

    Args:
        places: Where each output element lies among the input's, (out,).
        size: Elements of the input.
        mode: ``linear`` or ``cubic``.
        scale: Output over input; below one an antialiasing filter is widened by its inverse.
        antialias: Whether to widen.
        cubic_a: Coefficient of the cubic, -0.75 in PyTorch.
        exclude_outside: Give elements outside the input no weight, instead of the border's value.
    """
    widen = max(1 / scale, 1.0) if antialias else 1.0
    reach = int(np.ceil(REACH[mode] * widen))
    base = np.floor(places).astype(np.int64)
    taps = base[:, None] + np.arange(-reach + 1, reach + 1)
    distance = np.abs(taps - places[:, None]) / widen
    weights = _linear(distance) if mode == "linear" else _cubic(distance, cubic_a)
    if exclude_outside:
        weights = np.where((taps >= 0) & (taps < size), weights, 0.0)
    weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((len(places), size))
    rows = np.broadcast_to(np.arange(len(places))[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, size - 1)), weights)
    return matrix


def _linear(distance: Array) -> Array:
    """A triangle of width two."""
    weights: Array = np.maximum(1 - distance, 0.0)
    return weights


def _cubic(distance: Array, a: float) -> Array:
    """Keys' cubic convolution: one piece below a distance of one, another below two."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    weights: Array = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return weights
