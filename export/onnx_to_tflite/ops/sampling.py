"""GridSample: pixels of an image at computed places."""

from __future__ import annotations

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.reader import Node, refuse

LINEAR, NEAREST = ("linear", "bilinear"), ("nearest",)
PADDINGS = ("zeros", "border")


@lowers("GridSample", layout="nhwc")
def grid_sample(node: Node, build: Builder) -> None:
    """GATHER of the one or four pixels around each place, weighted by the distances.

    Outside the image lies a frame of zeros, one pixel wide, or nothing: the places are clamped.
    """
    mode = node.attrs.get("mode", "linear")
    padding = node.attrs.get("padding_mode", "zeros")
    if len(build.shape(node.inputs[0])) != 4:
        raise refuse(node, "only images are sampled")
    if mode not in (*LINEAR, *NEAREST) or padding not in PADDINGS:
        raise refuse(node, f"mode {mode!r} with padding {padding!r} is not lowered")
    frame = int(padding == "zeros")
    x, grid = build.nhwc(node.inputs[0]), build.tensor(node.inputs[1])
    n, height, width, channels = x.shape
    x = build.pad(x, [(0, 0), (frame, frame), (frame, frame), (0, 0)])
    pixels = build.reshape(x, (x.shape[0] * x.shape[1] * x.shape[2], channels))
    aligned = bool(node.attrs.get("align_corners", 0))
    across, down = (
        _places(build, build.slice(grid, 3, i, 1), size, frame=frame, aligned=aligned)
        for i, size in enumerate((width, height))
    )
    stride = width + 2 * frame
    images = np.arange(n).reshape(n, 1, 1, 1) * (height + 2 * frame) * stride
    first = build.const_tensor("first", images + frame * (stride + 1), np.int32)

    def take(row: Tensor, column: Tensor) -> Tensor:
        row = build.binary("MUL", row, build.number(row, stride))
        index = build.cast(build.binary("ADD", row, column), np.int32)
        index = build.binary("ADD", index, first)
        index = build.reshape(index, index.shape[:3])
        shape = (*index.shape, channels)
        return build.emit("GATHER", [pixels, index], shape, {"axis": 0, "batchDims": 0})

    if mode in NEAREST:
        y = take(build.unary("ROUND", down), build.unary("ROUND", across))
    else:
        lines = []
        columns = _neighbours(build, across, width - 1 + frame)
        for row, share in _neighbours(build, down, height - 1 + frame):
            left, right = (build.binary("MUL", take(row, c), s) for c, s in columns)
            lines.append(build.binary("MUL", build.binary("ADD", left, right), share))
        y = build.binary("ADD", *lines)
    build.bind(node.outputs[0], y, (0, 2, 3, 1))


def _places(build: Builder, at: Tensor, size: int, *, frame: int, aligned: bool) -> Tensor:
    """Turn -1 to 1 into where that lies among the elements, at most in the frame around them.

    -1 is the middle of the first element, or its outer edge; in PyTorch's own steps, for the
    nearest element of a tie hangs on the last bit.
    """
    places = build.binary("ADD", at, build.number(at, 1))
    if aligned:
        places = build.binary("MUL", places, build.number(at, (size - 1) / 2))
    else:
        places = build.binary("MUL", places, build.number(at, size))
        places = build.binary("SUB", places, build.number(at, 1))
        places = build.binary("MUL", places, build.number(at, 0.5))
    places = build.binary("MAXIMUM", places, build.number(at, -frame))
    return build.binary("MINIMUM", places, build.number(at, size - 1 + frame))


def _neighbours(build: Builder, places: Tensor, last: int) -> list[tuple[Tensor, Tensor]]:
    """Return the elements before and behind each place, with their shares of it."""
    before = build.unary("FLOOR", places)
    share = build.binary("SUB", places, before)
    behind = build.binary("ADD", before, build.number(before, 1))
    behind = build.binary("MINIMUM", behind, build.number(before, last))
    rest = build.binary("SUB", build.number(share, 1), share)
    return [(before, rest), (behind, share)]
