"""Convolutions, pools, pads and slices over random shapes, against onnxruntime."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from pfd_models.errors import UnsupportedOperatorError

FAST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
small = st.integers(1, 9)
layouts = st.sampled_from(["nhwc", "nchw"])
auto_pads = st.sampled_from(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
# Where onnxruntime itself has no answer: SAME with dilation, SAME of a step longer than the window,
# output padding as long as the step.


@st.composite
def window(draw, *, dilate, most_pad=3):
    """Attributes of a sliding window and an input that holds at least one of it."""
    kernel = [draw(st.integers(1, 5)) for _ in range(2)]
    dilations = [draw(st.integers(1, 3)) if dilate else 1 for _ in range(2)]
    attrs = {
        "kernel_shape": kernel,
        "strides": [draw(st.integers(1, 4)) for _ in range(2)],
        "auto_pad": draw(auto_pads),
    }
    if dilate:
        attrs["dilations"] = dilations
    if attrs["auto_pad"].startswith("SAME"):
        assume(dilations == [1, 1] and all(map(operator.le, attrs["strides"], kernel)))
    pads = [0] * 4
    if attrs["auto_pad"] == "NOTSET":
        pads = [draw(st.integers(0, min(most_pad, kernel[i % 2] - 1))) for i in range(4)]
        attrs["pads"] = pads
    size = []
    for i in range(2):
        extent = (kernel[i] - 1) * dilations[i] + 1
        size.append(draw(st.integers(max(extent - pads[i] - pads[i + 2], 1), 14)))
        assume(attrs["auto_pad"] != "VALID" or size[i] >= extent)
    return attrs, size


def random_weight(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@FAST
@given(
    window=window(dilate=True),
    groups=st.integers(1, 4),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    batch=st.integers(1, 2),
    bias=st.booleans(),
    layout=layouts,
)
def test_conv(tools, window, groups, per_group, batch, bias, layout):
    attrs, size = window
    cin, cout = groups * per_group[0], groups * per_group[1]
    constants = {"w": random_weight(cout, per_group[0], *attrs["kernel_shape"])}
    if bias:
        constants["b"] = random_weight(cout)
    node = helper.make_node("Conv", ["x", *constants], ["y"], group=groups, **attrs)
    tools.check(tools.make_model([node], {"x": [batch, cin, *size]}, constants), layout)


def starts_outside(attrs, size, axis):
    """Whether ONNX's shape rule before opset 22 counts a window that starts behind the input."""
    if not attrs.get("ceil_mode"):
        return False
    kernel, stride = attrs["kernel_shape"][axis], attrs["strides"][axis]
    before, after = attrs["pads"][axis], attrs["pads"][axis + 2]
    last = -(-(size[axis] + before + after - kernel) // stride) * stride
    return last >= size[axis] + before


@FAST
@given(
    window=window(dilate=False),
    ceil=st.booleans(),
    kind=st.sampled_from(["MaxPool", "AveragePool", "counted", "after Relu"]),
    layout=layouts,
)
def test_pools(tools, window, ceil, kind, layout):
    attrs, size = window
    if attrs["auto_pad"] == "NOTSET":
        attrs["ceil_mode"] = int(ceil)
    source, nodes = "x", []
    if kind == "after Relu":
        nodes.append(helper.make_node("Relu", ["x"], ["r"]))
        source, kind = "r", "MaxPool"
    if kind == "counted":
        attrs["count_include_pad"] = 1
        kind = "AveragePool"
    nodes.append(helper.make_node(kind, [source], ["y"], **attrs))
    model = tools.make_model(nodes, {"x": [1, 3, *size]})
    if any(starts_outside(attrs, size, axis) for axis in range(2)):
        with pytest.raises(UnsupportedOperatorError, match="a window lies wholly in the padding"):
            tools.convert(model, io_layout=layout)
    else:
        tools.check(model, layout)


@FAST
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    groups=st.integers(1, 3),
    size=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    layout=layouts,
)
def test_conv_transpose(tools, kernel, strides, dilations, extra, pads, groups, size, layout):
    for i in range(2):
        assume(extra[i] < strides[i])
        full = (size[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 + extra[i]
        assume(full - pads[i] - pads[i + 2] >= 1)
    node = helper.make_node(
        "ConvTranspose",
        ["x", "w", "b"],
        ["y"],
        strides=strides,
        dilations=dilations,
        pads=pads,
        output_padding=extra,
        group=groups,
    )
    constants = {"w": random_weight(2 * groups, 3, *kernel), "b": random_weight(3 * groups)}
    tools.check(tools.make_model([node], {"x": [1, 2 * groups, *size]}, constants), layout)


@FAST
@given(
    pads=st.tuples(*[st.integers(-1, 3)] * 4),
    mode=st.sampled_from(["constant", "edge", "reflect", "wrap"]),
    size=st.tuples(st.integers(4, 7), st.integers(4, 7)),
    value=st.sampled_from([0.0, -2.5]),
    layout=layouts,
)
def test_pad(tools, pads, mode, size, value, layout):
    assume(mode == "constant" or min(pads) >= 0)
    full = [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]]
    constants = {"pads": full, "value": np.array(value, np.float32)}
    inputs = ["x", "pads", "value"] if mode == "constant" else ["x", "pads"]
    node = helper.make_node("Pad", inputs, ["y"], mode=mode)
    tools.check(tools.make_model([node], {"x": [1, 3, *size]}, constants), layout)


@FAST
@given(
    shape=st.tuples(st.integers(1, 3), small, small, small),
    cuts=st.lists(
        st.tuples(st.integers(0, 3), st.integers(-9, 9), st.integers(-9, 20), st.integers(1, 3)),
        min_size=1,
        max_size=4,
        unique_by=lambda cut: cut[0],
    ),
    layout=layouts,
)
def test_slice(tools, shape, cuts, layout):
    axes, starts, ends, steps = zip(*cuts, strict=True)
    where = tuple(
        dict(zip(axes, map(slice, starts, ends, steps), strict=True)).get(i, slice(None))
        for i in range(4)
    )
    assume(0 not in np.empty(shape)[where].shape)
    constants = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    node = helper.make_node("Slice", ["x", "starts", "ends", "axes", "steps"], ["y"])
    tools.check(tools.make_model([node], {"x": shape}, constants), layout)


@FAST
@given(
    shapes=st.sampled_from(
        [
            ((2, 3, 4, 5), (3, 1, 1)),
            ((2, 3, 4, 5), (5,)),
            ((2, 3, 4, 5), (1, 3, 1, 5)),
            ((1, 3, 4, 1), (2, 1, 1, 5)),
            ((3, 4, 5), (2, 3, 1, 1)),
            ((5,), (2, 3, 4, 5)),
            ((2, 3, 4, 5), ()),
        ]
    ),
    kind=st.sampled_from(["Add", "Sub", "Mul", "Div", "Max", "Min"]),
    constant=st.booleans(),
    convolved=st.booleans(),
    layout=layouts,
)
def test_broadcasting(tools, shapes, kind, constant, convolved, layout):
    left, right = shapes
    nodes, inputs, constants = [], {"a": left, "b": right}, {}
    if constant:
        del inputs["b"]
        constants["b"] = np.asarray(random_weight(*right, 1).reshape(right) + 3, np.float32)
    first = "a"
    if convolved and len(left) == 4:  # so that the first operand lies in NHWC in either layout
        constants["w"] = random_weight(left[1], left[1], 1, 1)
        nodes.append(helper.make_node("Conv", ["a", "w"], ["c"]))
        first = "c"
    nodes.append(helper.make_node(kind, [first, "b"], ["y"]))
    model = tools.make_model(nodes, inputs, constants)

    def away_from_zero(model, seed):
        feeds = tools.seeded(model, seed)
        if "b" in feeds:
            feeds["b"] = np.asarray(np.abs(feeds["b"]) + 1)
        return feeds

    tools.check(model, layout, make_feeds=away_from_zero)


@pytest.mark.parametrize("size", [112, 113])
def test_same_is_emitted_exactly_when_it_is_right(tools, size):
    """Stride two with symmetric pads of one: SAME of an odd size, PAD and VALID of an even one."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    model = tools.make_model([node], {"x": [1, 3, size, size]}, {"w": random_weight(4, 3, 3, 3)})
    expected = {"CONV_2D": 1} if size % 2 else {"PAD": 1, "CONV_2D": 1}
    assert tools.check(model, seeds=(0,)).ops == expected
