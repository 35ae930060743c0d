"""Resizing that TFLite has no kernel for, by constant matrices, against PyTorch itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import helper

from export.onnx_to_tflite import inspect

MODES = {"bicubic": "cubic", "bilinear": "linear", "linear": "linear", "trilinear": "linear"}


def resized(tools, shape, size, *, mode, layout="nhwc", antialias=False, align_corners=False):
    """Convert PyTorch's interpolation; the file's output beside PyTorch's, in its order."""
    attrs = {
        "mode": MODES[mode],
        "coordinate_transformation_mode": "align_corners" if align_corners else "half_pixel",
        "cubic_coeff_a": -0.5 if antialias else -0.75,  # PyTorch's own two values
        "antialias": int(antialias),
        "exclude_outside": int(antialias),
    }
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attrs)
    model = tools.make_model([node], {"x": shape}, {"sizes": [*shape[:2], *size]})
    x = tools.seeded(model, 0)["x"]
    want = F.interpolate(
        torch.from_numpy(x), size=size, mode=mode, align_corners=align_corners,
        **({"antialias": True} if antialias else {}),
    ).numpy()  # fmt: skip
    conversion = tools.convert(model, io_layout=layout)
    got = tools.run_tflite(conversion.data, {"x": tools.stored(x, layout)})["y"]
    assert tools.relative_error(got, tools.stored(want, layout)) <= 2e-6
    assert inspect(conversion.data).leftovers == {}
    return conversion


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(10, 14), (13, 17), (3, 2), (5, 20), (1, 7)])
def test_cubic(tools, size, align_corners, layout):
    resized(tools, [1, 3, 5, 7], size, mode="bicubic", align_corners=align_corners, layout=layout)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(5, 6), (11, 3), (20, 30)])
def test_antialiasing(tools, size, mode):
    resized(tools, [1, 3, 11, 13], size, mode=mode, antialias=True)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(18,), (4,), (1,)])
def test_a_signal(tools, size, align_corners):
    conversion = resized(tools, [2, 3, 9], size, mode="linear", align_corners=align_corners)
    assert "RESIZE_BILINEAR" in conversion.ops


def test_a_volume(tools):
    resized(tools, [1, 2, 3, 4, 5], (6, 7, 5), mode="trilinear")


def test_only_the_axes_that_change_are_multiplied(tools):
    conversion = resized(tools, [1, 3, 5, 7], (5, 14), mode="bicubic")
    assert conversion.ops["FULLY_CONNECTED"] == 1


def test_pytorchs_nearest_exact(tools):
    """Exported as half pixels rounded up."""
    attrs = {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "round_prefer_ceil",
    }
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attrs)
    for size in ((10, 14), (8, 11), (3, 5)):
        model = tools.make_model([node], {"x": [1, 3, 5, 7]}, {"sizes": [1, 3, *size]})
        x = tools.seeded(model, 0)["x"]
        want = F.interpolate(torch.from_numpy(x), size=size, mode="nearest-exact").numpy()
        got = tools.run_tflite(tools.convert(model).data, {"x": tools.stored(x, "nhwc")})["y"]
        np.testing.assert_array_equal(got, tools.stored(want, "nhwc"))
