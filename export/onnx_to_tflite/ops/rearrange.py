"""DepthToSpace and SpaceToDepth."""

from __future__ import annotations

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.layout import NHWC
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.reader import Node


@lowers("DepthToSpace", layout="nhwc")
def depth_to_space(node: Node, build: Builder) -> None:
    """DEPTH_TO_SPACE, whose channels are (block row, block column, depth) as in mode DCR.

    Mode CRD (PyTorch's pixel shuffle) has the depth first: a channel shuffle brings it there,
    which a later pass folds into the convolution before.
    """
    block = node.attrs["blocksize"]
    x = build.nhwc(node.inputs[0])
    n, h, w, channels = x.shape
    depth = channels // block**2
    if node.attrs.get("mode", "DCR") == "CRD" and depth > 1:
        apart = build.reshape(x, (n, h, w, depth, block**2))
        x = build.reshape(build.transpose(apart, (0, 1, 2, 4, 3)), x.shape)
    shape = (n, h * block, w * block, depth)
    y = build.emit("DEPTH_TO_SPACE", [x], shape, {"blockSize": block})
    build.bind(node.outputs[0], y, NHWC)


@lowers("SpaceToDepth", layout="nhwc")
def space_to_depth(node: Node, build: Builder) -> None:
    """SPACE_TO_DEPTH, whose channels are (block row, block column, depth) as in mode DCR."""
    block = node.attrs["blocksize"]
    x = build.nhwc(node.inputs[0])
    n, h, w, channels = x.shape
    shape = (n, h // block, w // block, channels * block**2)
    y = build.emit("SPACE_TO_DEPTH", [x], shape, {"blockSize": block})
    if node.attrs.get("mode", "DCR") == "CRD" and channels > 1:
        apart = build.reshape(y, (*shape[:3], block**2, channels))
        y = build.reshape(build.transpose(apart, (0, 1, 2, 4, 3)), shape)
    build.bind(node.outputs[0], y, NHWC)
