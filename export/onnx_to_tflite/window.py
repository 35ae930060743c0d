"""Sliding windows: how ONNX's strides, dilations and pads become TFLite's SAME, VALID and PAD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.layout import NHWC
from export.onnx_to_tflite.reader import Node, refuse

__all__ = ["Axis", "bind_image", "image", "windows"]

NLC = (0, 2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A window moving along one spatial axis.

    Attributes:
        size: Elements of the input along the axis.
        out: Elements of the output along the axis.
        kernel: Taps of the window.
        stride: Step of the window.
        dilation: Distance of the taps.
        before: Pad in front of the first element.
        after: Pad that ONNX asks for behind the last element.
    """

    size: int
    out: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def extent(self) -> int:
        """Distance from the first tap to behind the last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def read_after(self) -> int:
        """Elements behind the input that some window really reads, zero or more."""
        return max((self.out - 1) * self.stride + self.extent - self.size - self.before, 0)

    @property
    def same_before(self) -> int:
        """Pad in front under TFLite's SAME."""
        return max((self.out - 1) * self.stride + self.extent - self.size, 0) // 2

    @property
    def is_same(self) -> bool:
        """Whether TFLite's SAME places every window where ONNX does."""
        return self.out == -(-self.size // self.stride) and self.before == self.same_before

    @property
    def is_valid(self) -> bool:
        """Whether no window reads outside the input, so VALID is right."""
        return self.before == 0 and self.read_after == 0

    @property
    def pads(self) -> tuple[int, int]:
        """Elements to add before and after so that VALID is right."""
        return self.before, self.read_after


def padding(axes: Sequence[Axis]) -> str | None:
    """Return the scheme that needs no PAD, None where neither fits both axes."""
    if all(axis.is_valid for axis in axes):
        return "VALID"
    return "SAME" if all(axis.is_same for axis in axes) else None


def windows(
    node: Node, shape: Sequence[int], out: Sequence[int], kernel: Sequence[int]
) -> tuple[Axis, Axis]:
    """Read a node's window for the two spatial axes; a signal (N, C, L) has height one.

    Args:
        node: Conv or a pool.
        shape: ONNX shape of the input, (N, C, H, W) or (N, C, L).
        out: ONNX shape of the output.
        kernel: Taps along each spatial axis.

    Raises:
        UnsupportedOperatorError: Volumes, negative pads.
    """
    spatial = len(shape) - 2
    if spatial not in (1, 2):
        raise refuse(node, f"the input has {spatial} spatial axes, only one and two are lowered")
    strides = node.attrs.get("strides") or [1] * spatial
    dilations = node.attrs.get("dilations") or [1] * spatial
    pads = node.attrs.get("pads") or [0] * (2 * spatial)
    auto_pad = node.attrs.get("auto_pad", "NOTSET")
    axes = []
    for i in range(spatial):
        size, result = shape[2 + i], out[2 + i]
        before, after = pads[i], pads[i + spatial]
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            reach = (kernel[i] - 1) * dilations[i] + 1
            total = max((result - 1) * strides[i] + reach - size, 0)
            before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            after = total - before
        elif auto_pad == "VALID":
            before = after = 0
        if before < 0 or after < 0:
            raise refuse(node, "negative pads are not lowered; slice the input instead")
        axes.append(
            Axis(
                size=size,
                out=result,
                kernel=kernel[i],
                stride=strides[i],
                dilation=dilations[i],
                before=before,
                after=after,
            )
        )
    if spatial == 1:
        flat = Axis(size=1, out=1, kernel=1, stride=1, dilation=1, before=0, after=0)
        axes.insert(0, flat)
    height, width = axes
    return height, width


def image(build: Builder, name: str) -> Tensor:
    """A value as (N, H, W, C); a signal (N, C, L) becomes (N, 1, L, C)."""
    if len(build.shape(name)) == 4:
        return build.nhwc(name)
    signal = build.tensor(name, NLC)
    n, length, channels = signal.shape
    return build.reshape(signal, (n, 1, length, channels))


def bind_image(build: Builder, name: str, tensor: Tensor) -> None:
    """Bind an (N, H, W, C) result to an image or, with H one, to a signal."""
    if len(build.shape(name)) == 4:
        build.bind(name, tensor, NHWC)
        return
    n, _, length, channels = tensor.shape
    build.bind(name, build.reshape(tensor, (n, length, channels)), NLC)
