"""Every n-th element of a tensor, in the form that stays in the delegate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor

__all__ = ["subsample"]

#: Physical axes of rows and columns, which a strided convolution can step over.
SPATIAL = (1, 2)


def subsample(
    build: Builder, x: Tensor, begin: Sequence[int], sizes: Sequence[int], steps: Sequence[int]
) -> Tensor:
    """Take ``sizes`` elements from ``begin`` on, ``steps`` apart, along each physical axis.

    A step over rows or columns is a depthwise convolution with a single tap of one: the delegate
    of LiteRT 2.3 has neither a STRIDED_SLICE with steps nor a strided pool with a single tap.
    """
    stepped = [axis for axis, step in enumerate(steps) if step > 1]
    if not stepped:
        if tuple(sizes) == x.shape:
            return x
        operands = [
            x,
            build.const_tensor("begin", begin, np.int32),
            build.const_tensor("size", sizes, np.int32),
        ]
        return build.emit("SLICE", operands, sizes)
    reach = [(n - 1) * s + 1 for n, s in zip(sizes, steps, strict=True)]
    if len(x.shape) == 4 and set(stepped) <= set(SPATIAL) and x.dtype == np.float32:
        return _single_tap(build, x, begin, reach, sizes, steps)
    operands = [
        x,
        build.const_tensor("begin", begin, np.int32),
        build.const_tensor("end", [b + r for b, r in zip(begin, reach, strict=True)], np.int32),
        build.const_tensor("strides", steps, np.int32),
    ]
    return build.emit("STRIDED_SLICE", operands, sizes)


def _single_tap(
    build: Builder,
    x: Tensor,
    begin: Sequence[int],
    reach: Sequence[int],
    sizes: Sequence[int],
    steps: Sequence[int],
) -> Tensor:
    """A depthwise convolution of one tap; what lies before ``begin`` is sliced off first."""
    if (
        any(begin)
        or reach[0] != x.shape[0]
        or reach[3] != x.shape[3]
        or any(-(-x.shape[i] // steps[i]) != sizes[i] for i in SPATIAL)
    ):
        x = subsample(build, x, begin, reach, (1, 1, 1, 1))
    channels = x.shape[3]
    operands = [
        x,
        build.const_tensor("one_tap", np.ones((1, 1, 1, channels))),
        build.const_tensor("zero_bias", np.zeros(channels)),
    ]
    options = {
        "padding": "VALID",
        "strideH": steps[1],
        "strideW": steps[2],
        "dilationHFactor": 1,
        "dilationWFactor": 1,
        "depthMultiplier": 1,
        "fusedActivationFunction": "NONE",
    }
    return build.emit("DEPTHWISE_CONV_2D", operands, sizes, options)
