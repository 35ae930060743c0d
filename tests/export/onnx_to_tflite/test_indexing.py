"""Elements by constant and computed indices: channel lists, flips, wide pads, embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from export.onnx_to_tflite import inspect
from export.onnx_to_tflite.take import find_repeats
from pfd_models.errors import UnsupportedOperatorError

INT64 = TensorProto.INT64
IMAGE = [1, 3, 6, 40]


def node(op_type, inputs, outputs=("y",), **attrs):
    return helper.make_node(op_type, list(inputs), list(outputs), **attrs)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_bgr_to_rgb_is_exact_and_delegated(tools, layout):
    model = tools.make_model(
        [node("Gather", ["x", "list"], axis=1)], {"x": IMAGE}, {"list": [2, 1, 0]}
    )
    conversion = tools.check(model, layout)
    assert inspect(conversion.data).leftovers == {}


def test_a_channel_list_as_pytorch_writes_it_needs_no_transpose(tools):
    """x[:, buffer]: transposed to the front, gathered there by GatherND, transposed back."""
    nodes = [
        node("Transpose", ["x"], ["a"], perm=[1, 0, 2, 3]),
        node("GatherND", ["a", "list"], ["b"]),
        node("Transpose", ["b"], perm=[1, 0, 2, 3]),
    ]
    model = tools.make_model(nodes, {"x": IMAGE}, {"list": np.array([[2], [0], [-2], [1]])})
    conversion = tools.check(model)
    assert conversion.ops == {"SLICE": 3, "CONCATENATION": 1}


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_flip_is_a_slice_with_a_negative_step(tools, axis):
    constants = {"start": [-1], "end": [-100], "axis": [axis], "step": [-1]}
    names = ["x", "start", "end", "axis", "step"]
    tools.check(tools.make_model([node("Slice", names)], {"x": IMAGE}, constants))


@pytest.mark.parametrize(("start", "end", "step"), [(30, 3, -4), (5, -100, -5), (100, 20, -1)])
def test_a_negative_step_beside_a_positive_one(tools, start, end, step):
    constants = {"start": [start, 1], "end": [end, 6], "axes": [3, 2], "step": [step, 2]}
    names = ["x", "start", "end", "axes", "step"]
    tools.check(tools.make_model([node("Slice", names)], {"x": IMAGE}, constants))


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_a_wide_pad_of_every_mode(tools, mode):
    pads = [0, 0, 5, 39, 0, 0, 4, 38]
    model = tools.make_model([node("Pad", ["x", "pads"], mode=mode)], {"x": IMAGE}, {"pads": pads})
    tools.check(model)


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_by_computed_indices_of_either_sign(tools, axis):
    """An embedding; ONNX counts a negative index from the end."""
    table = np.random.default_rng(1).standard_normal((10, 12)).astype(np.float32)
    model = tools.make_model(
        [node("Gather", ["table", "x"], axis=axis)], {"x": [2, 5]}, {"table": table},
        types={"x": INT64},
    )  # fmt: skip
    assert tools.check(model).inputs[0].dtype == "int64"


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_elements_by_computed_indices(tools, axis):
    """torch.gather, here with the places of the smallest elements of each line."""
    nodes = [
        node("TopK", ["x", "k"], ["v", "i"], axis=axis, largest=0),
        node("GatherElements", ["x", "i"], axis=axis),
    ]
    model = tools.make_model(
        nodes, {"x": [2, 3, 4, 5]}, {"k": [2]}, ("y", "v", "i"), types={"i": INT64}
    )
    conversion = tools.check(model)
    assert "SELECT_V2" not in conversion.ops  # an index of TopK is never negative


def test_elements_by_indices_of_a_smaller_shape_and_either_sign(tools):
    index = np.array([[[0, -1], [2, -3]]])
    model = tools.make_model(
        [node("Mul", ["x", "one"], ["i"]), node("GatherElements", ["data", "i"], axis=1)],
        {"x": [1, 2, 2]},
        {"one": np.array(1), "data": np.arange(24, dtype=np.float32).reshape(2, 3, 4)},
        types={"x": INT64},
    )
    conversion = tools.convert(model)
    want = tools.run_onnx(model, {"x": index})["y"]
    np.testing.assert_array_equal(tools.run_tflite(conversion.data, {"x": index})["y"], want)


def test_points_by_computed_coordinates(tools):
    types = {"x": INT64}
    data = np.random.default_rng(2).standard_normal((10, 12, 3)).astype(np.float32)
    model = tools.make_model(
        [node("GatherND", ["data", "x"])], {"x": [4, 2]}, {"data": data}, types=types
    )
    tools.check(model)


@pytest.mark.parametrize(
    ("indices", "found"),
    [
        ([0, 0, 1, 1], (2, 0)),
        ([0, 0, 1, 1, 2], (2, 0)),
        ([3, 4, 4, 5, 5], (2, 1)),
        ([1, 1, 1], (3, 0)),
        ([0, 0, 1, 2, 2], None),
        ([0, 0, 2, 2], None),
        ([0, 1, 2], None),
    ],
)
def test_equally_often_repeated_elements_are_found(indices, found):
    assert find_repeats(indices) == found


@pytest.mark.parametrize("size", [(11, 79), (12, 80), (17, 120)])
def test_the_nearest_of_an_odd_size_stays_in_the_delegate(tools, size):
    """A feature pyramid's maps: 6 to 11 and 40 to 79 elements."""
    attrs = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    model = tools.make_model(
        [node("Resize", ["x", "", "", "sizes"], **attrs)], {"x": IMAGE}, {"sizes": [1, 3, *size]}
    )
    assert inspect(tools.check(model).data).leftovers == {}


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize(("axis", "lines"), [(1, [0]), (1, [2, 0]), (3, [-1, 4, 5, 6]), (2, [5])])
def test_writing_into_lines_is_exact_and_delegated(tools, axis, lines, layout):
    """x[:, 0] = y, as PyTorch's exporter writes it: the same index all over a line."""
    shape = [len(lines) if a == axis else size for a, size in enumerate(IMAGE)]
    index = np.broadcast_to(np.reshape(lines, [-1 if a == axis else 1 for a in range(4)]), shape)
    model = tools.make_model(
        [node("ScatterElements", ["x", "index", "new"], axis=axis)],
        {"x": IMAGE, "new": shape}, {"index": np.ascontiguousarray(index)},
    )  # fmt: skip
    assert inspect(tools.check(model, layout).data).leftovers == {}


def test_writing_into_a_slice_of_an_inner_axis(tools):
    """x[..., ::2] = y: transposed to the front, written there, transposed back."""
    nodes = [
        node("Transpose", ["x"], ["a"], perm=[3, 1, 2, 0]),
        node("Transpose", ["new"], ["b"], perm=[3, 1, 2, 0]),
        node("ScatterND", ["a", "index", "b"], ["c"]),
        node("Transpose", ["c"], perm=[3, 1, 2, 0]),
    ]
    even = {"index": np.arange(0, 40, 2).reshape(-1, 1)}
    inputs = {"x": IMAGE, "new": [1, 3, 6, 20]}
    assert "TRANSPOSE" not in tools.check(tools.make_model(nodes, inputs, even)).ops


@pytest.mark.parametrize("reduction", ["none", "add"])
@pytest.mark.parametrize(
    ("op_type", "index", "new"),
    [
        ("ScatterElements", [[0, 1], [-1, 0]], [2, 2]),
        ("ScatterElements", [[0], [0]], [2, 1]),
        ("ScatterND", [[0, 1], [1, 0], [-1, -1]], [3]),
    ],
)
def test_scattered_writes_have_the_values_of_onnx(tools, op_type, index, new, reduction):
    """Where one place is written twice, the last value stays; only equal ones are exported so."""
    twice = reduction == "none" and index == [[0], [0]]
    for computed in (False, True):
        inputs = {"x": [3, 2], "new": new}
        constants = {"index": np.array(index)}
        types = {}
        if computed:
            inputs["index"] = list(np.shape(index))
            types, constants = {"index": INT64}, {}
        model = tools.make_model(
            [node(op_type, ["x", "index", "new"], reduction=reduction)], inputs, constants,
            types=types,
        )  # fmt: skip
        feeds = tools.seeded(model, 3)
        if computed:
            feeds["index"] = np.array(index)
        if twice:
            feeds["new"][:] = 0.1
        got = tools.run_tflite(tools.convert(model).data, feeds)["y"]
        np.testing.assert_allclose(got, tools.run_onnx(model, feeds)["y"], rtol=1e-6)


@pytest.mark.parametrize(
    ("op_type", "dtype", "reduction", "reason"),
    [
        ("ScatterElements", TensorProto.FLOAT, "max", "the reduction 'max' is not lowered"),
        ("ScatterND", INT64, "none", "elements of int64 are not written one by one"),
    ],
)
def test_other_scattered_writes_are_refused(tools, op_type, dtype, reduction, reason):
    model = tools.make_model(
        [node(op_type, ["x", "index", "new"], reduction=reduction)],
        {"x": [3, 2], "new": [2] if op_type == "ScatterND" else [2, 2]},
        {"index": np.array([[0, 1], [1, 0]])},
        types={"x": dtype, "new": dtype, "y": dtype}, opset=18,
    )  # fmt: skip
    with pytest.raises(UnsupportedOperatorError, match=reason):
        tools.convert(model)
