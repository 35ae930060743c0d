"""Pixels at computed places: GridSample in every mode that TFLite can express."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from pfd_models.errors import UnsupportedOperatorError


def sampling(tools, grid=None, **attrs):
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], name="warp/sample", **attrs)
    inputs = {"x": [2, 3, 5, 7]}
    if grid is None:
        return tools.make_model([node], {**inputs, "grid": [2, 4, 6, 2]})
    return tools.make_model([node], inputs, {"grid": grid})


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("constant", [False, True])
def test_places_inside_and_outside_the_image(tools, mode, padding, aligned, constant):
    """Seeded places are standard normal: a third of them lies outside, some far outside."""
    grid = np.random.default_rng(5).standard_normal((2, 4, 6, 2)).astype(np.float32)
    model = sampling(
        tools, grid if constant else None, mode=mode, padding_mode=padding, align_corners=aligned
    )
    conversion = tools.check(model, "nchw")
    if constant:
        assert "FLOOR" not in conversion.ops


def test_places_at_the_edges_and_between(tools):
    grid = np.zeros((2, 4, 6, 2), np.float32)
    grid[0, :, :, 0] = np.linspace(-1.5, 1.5, 6)
    grid[0, :, :, 1] = np.linspace(-1.5, 1.5, 4)[:, None]
    grid[1] = [-1, 1]
    tools.check(sampling(tools, grid, mode="linear", padding_mode="zeros"))


@pytest.mark.parametrize(
    ("attrs", "line"),
    [
        ({"mode": "cubic"}, "mode 'cubic' with padding 'zeros' is not lowered"),
        ({"padding_mode": "reflection"}, "mode 'linear' with padding 'reflection' is not lowered"),
    ],
)
def test_what_is_not_sampled_is_named(tools, attrs, line):
    with pytest.raises(UnsupportedOperatorError, match=f"warp/sample: GridSample.*{line}"):
        tools.convert(sampling(tools, **attrs))
