"""Integers and booleans inside and at the border of a file, exactly as onnxruntime has them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from export.onnx_to_tflite import inspect
from pfd_models.errors import UnsupportedOperatorError

BOOL, INT32, INT64 = TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64
UINT8 = TensorProto.UINT8
IMAGE = [1, 3, 5, 7]


def node(op_type, inputs, outputs=("y",), **attrs):
    return helper.make_node(op_type, list(inputs), list(outputs), **attrs)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
def test_a_class_map_is_int64(tools, op_type, axis, keepdims, layout):
    nodes = [node(op_type, ["x"], axis=axis, keepdims=keepdims)]
    conversion = tools.check(tools.make_model(nodes, {"x": IMAGE}, types={"y": INT64}), layout)
    assert conversion.outputs[0].dtype == "int64"


def test_the_class_map_of_an_nhwc_image_needs_no_transpose(tools):
    nodes = [node("Relu", ["x"], ["a"]), node("ArgMax", ["a"], axis=1, keepdims=0)]
    conversion = tools.check(tools.make_model(nodes, {"x": IMAGE}, types={"y": INT64}))
    assert conversion.ops == {"RELU": 1, "ARG_MAX": 1}


def test_a_class_in_int32_is_searched_for_in_int32(tools):
    nodes = [
        node("ArgMax", ["x"], ["a"], axis=1, keepdims=0),
        node("Cast", ["a"], to=INT32),
    ]
    conversion = tools.check(tools.make_model(nodes, {"x": [2, 7]}, types={"y": INT32}))
    assert conversion.ops == {"ARG_MAX": 1}


def test_places_in_int32_are_those_of_topk_without_a_detour(tools):
    nodes = [
        node("TopK", ["x", "k"], ["v", "i"], axis=1),
        node("Cast", ["i"], ["y"], to=INT32),
    ]
    model = tools.make_model(
        nodes, {"x": [2, 7]}, {"k": [3]}, ("v", "y"), types={"v": TensorProto.FLOAT, "y": INT32}
    )
    assert tools.check(model).ops == {"TOPK_V2": 1}


@pytest.mark.parametrize(("classes", "lengthened"), [(10, 1), (12, 0)])
def test_a_row_of_scores_is_ranked_in_groups_of_four(tools, classes, lengthened):
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Log", ["a"], ["b"]),  # of nothing -inf, which is what fills the last group
        node("TopK", ["b", "k"], ["v", "i"], axis=1),
        node("Cast", ["i"], ["y"], to=INT32),
    ]
    model = tools.make_model(
        nodes, {"x": [1, classes]}, {"k": [classes]}, ("y",), types={"y": INT32}
    )
    ops = tools.check(model).ops
    assert (ops.get("CONCATENATION", 0), ops["TOPK_V2"]) == (lengthened, 1)


def test_a_detour_over_a_type_that_loses_digits_stays(tools):
    nodes = [
        node("Cast", ["x"], ["a"], to=TensorProto.FLOAT),
        node("Cast", ["a"], to=INT32),
    ]
    model = tools.make_model(nodes, {"x": [2, 7]}, types={"x": INT32, "y": INT32})
    assert tools.check(model).ops == {"CAST": 2}


@pytest.mark.parametrize("largest", [1, 0])
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, INT32, INT64])
def test_the_k_largest_and_smallest_with_their_indices(tools, dtype, axis, largest):
    model = tools.make_model(
        [node("TopK", ["x", "k"], ["v", "i"], axis=axis, largest=largest)],
        {"x": IMAGE}, {"k": [2]}, ("v", "i"), types={"x": dtype, "v": dtype, "i": INT64},
    )  # fmt: skip
    tools.check(model)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, INT32, INT64])
@pytest.mark.parametrize("op_type", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons_broadcast_in_any_layout(tools, op_type, dtype):
    types = {"x": dtype, "z": dtype, "y": BOOL}
    tools.check(
        tools.make_model(
            [node(op_type, ["x", "z"])], {"x": [2, 3, 4, 5], "z": [3, 1, 5]}, types=types
        )
    )


@pytest.mark.parametrize("op_type", ["And", "Or", "Xor", "Equal"])
def test_logic_of_two_masks(tools, op_type):
    types = {"x": BOOL, "z": BOOL, "y": BOOL}
    model = tools.make_model([node(op_type, ["x", "z"])], {"x": IMAGE, "z": [5, 7]}, types=types)
    assert tools.check(model).inputs[0].dtype == "bool"


def test_a_mask_and_the_masked_image(tools):
    """Matting: (p > 0.2) and not (p > 0.9), and the image times it."""
    nodes = [
        node("Greater", ["x", "low"], ["a"]),
        node("Greater", ["x", "high"], ["b"]),
        node("Not", ["b"], ["c"]),
        node("And", ["a", "c"], ["mask"]),
        node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        node("Mul", ["x", "m"]),
    ]
    constants = {"low": np.array(0.2, np.float32), "high": np.array(0.9, np.float32)}
    model = tools.make_model(nodes, {"x": IMAGE}, constants, ("mask", "y"), types={"mask": BOOL})
    assert tools.check(model).outputs[0].dtype == "bool"


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, INT32, INT64])
def test_a_computed_mask_selects(tools, dtype):
    model = tools.make_model(
        [node("Where", ["c", "x", "z"])], {"c": [1, 1, 5, 7], "x": IMAGE, "z": [7]},
        types={"c": BOOL, "x": dtype, "z": dtype, "y": dtype},
    )  # fmt: skip
    assert tools.check(model).ops["SELECT_V2"] == 1


@pytest.mark.parametrize("order", ["constant first", "constant second"])
@pytest.mark.parametrize("value", [-np.inf, np.inf, -1e4, 0.0])
def test_a_constant_mask_over_a_constant_is_exact_and_delegated(tools, value, order):
    constants = {"mask": np.triu(np.ones((6, 6), bool), 1), "fill": np.array(value, np.float32)}
    names = ["mask", "fill", "x"] if order == "constant first" else ["mask", "x", "fill"]
    model = tools.make_model([node("Where", names)], {"x": [1, 2, 6, 6]}, constants)
    feeds = tools.seeded(model, 0)
    conversion = tools.convert(model)
    got = tools.run_tflite(conversion.data, {"x": tools.stored(feeds["x"], "nhwc")})["y"]
    want = tools.stored(tools.run_onnx(model, feeds)["y"], "nhwc")
    np.testing.assert_array_equal(got, want)
    assert inspect(conversion.data).leftovers == {}


def test_a_constant_mask_between_two_computed_values(tools):
    nodes = [node("Neg", ["x"], ["a"]), node("Where", ["mask", "x", "a"])]
    constants = {"mask": np.eye(5, 7, dtype=bool)}
    tools.check(tools.make_model(nodes, {"x": IMAGE}, constants))


NUMBERS = {"float": TensorProto.FLOAT, "int32": INT32, "int64": INT64, "bool": BOOL}


@pytest.mark.parametrize("target", NUMBERS)
@pytest.mark.parametrize("source", [*NUMBERS, "uint8"])
def test_casts(tools, source, target):
    types = {"x": NUMBERS.get(source, UINT8), "y": NUMBERS[target]}
    nodes = [node("Cast", ["x"], to=types["y"])]
    tools.check(tools.make_model(nodes, {"x": [2, 9]}, types=types))


@pytest.mark.parametrize("dtype", [INT32, INT64])
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Max", "Min", "Mod"])
def test_integer_arithmetic_broadcasts(tools, op_type, dtype):
    shape = helper.tensor_dtype_to_np_dtype(dtype)
    constants = {"z": np.array([[3], [-4], [7]], shape)}
    types = {"x": dtype, "y": dtype}
    tools.check(
        tools.make_model([node(op_type, ["x", "z"])], {"x": [2, 3, 4]}, constants, types=types)
    )


@pytest.mark.parametrize("dtype", [INT32, INT64])
@pytest.mark.parametrize("op_type", ["Abs", "Neg", "Sign"])
def test_integers_of_either_sign(tools, op_type, dtype):
    types = {"x": dtype, "y": dtype}
    tools.check(tools.make_model([node(op_type, ["x"])], {"x": [4, 9]}, types=types))


@pytest.mark.parametrize("dtype", [INT32, INT64])
def test_integers_are_limited_and_reduced(tools, dtype):
    numpy_type = helper.tensor_dtype_to_np_dtype(dtype)
    constants = {"low": np.array(-3, numpy_type), "high": np.array(4, numpy_type), "axes": [2]}
    nodes = [
        node("Clip", ["x", "low", "high"], ["a"]),
        node("ReduceSum", ["a", "axes"], ["s"], keepdims=0),
        node("ReduceMax", ["a", "axes"], ["m"], keepdims=1),
    ]
    types = dict.fromkeys(("x", "s", "m"), dtype)
    tools.check(tools.make_model(nodes, {"x": [2, 3, 8]}, constants, ("s", "m"), types=types))


def test_rows_and_columns_of_the_best_places(tools):
    """CenterNet: indices of a flattened map, divided with remainder by its width."""
    nodes = [
        node("Flatten", ["x"], ["f"]),
        node("TopK", ["f", "k"], ["v", "i"]),
        node("Div", ["i", "width"], ["row"]),
        node("Mod", ["i", "width"], ["column"]),
    ]
    constants = {"k": [4], "width": np.array(7)}
    types = {"i": INT64, "row": INT64, "column": INT64}
    outputs = ("v", "row", "column")
    conversion = tools.check(tools.make_model(nodes, {"x": IMAGE}, constants, outputs, types=types))
    assert conversion.ops["DIV"] == 1


def test_int64_is_divided_only_where_int32_holds_it(tools):
    model = tools.make_model(
        [node("Div", ["x", "d"])], {"x": [5]}, {"d": np.array(3)}, types={"x": INT64, "y": INT64}
    )
    with pytest.raises(UnsupportedOperatorError, match="provably fit into int32"):
        tools.convert(model)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, INT32, INT64, BOOL, UINT8])
def test_every_type_is_moved(tools, dtype):
    """Transposed, cut, joined, reshaped, gathered: elements of any type."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
        node("Slice", ["t", "begin", "end", "axes"], ["s"]),
        node("Concat", ["s", "t"], ["c"], axis=1),
        node("Gather", ["c", "list"], ["g"], axis=3),
        node("Reshape", ["g", "shape"]),
    ]
    constants = {"begin": [1], "end": [4], "axes": [1], "list": [2, 0, 0], "shape": [8, 21]}
    types = {"x": dtype, "y": dtype}
    tools.check(tools.make_model(nodes, {"x": IMAGE}, constants, types=types))


def test_integer_arithmetic_is_not_folded_into_weights(tools, rng):
    """A scale and shift of a class map looks like a batch norm, except for its type."""
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Cast", ["a"], ["i"], to=INT32),
        node("Mul", ["i", "two"], ["d"]),
        node("Add", ["d", "shift"]),
    ]
    constants = {
        "w": rng.standard_normal((4, 3, 1, 1)).astype(np.float32),
        "two": np.array(2, np.int32),
        "shift": np.arange(4, dtype=np.int32).reshape(4, 1, 1),
    }
    tools.check(tools.make_model(nodes, {"x": IMAGE}, constants, types={"y": INT32}))


def test_two_outputs_of_one_stored_value(tools):
    """As where a network hands out what it also returns: the second is a copy."""
    numbers = {"scale": np.float32(0.05), "zero": np.int8(3)}
    model = tools.make_model(
        [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["stored"]),
            helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["read"]),
            helper.make_node("MaxPool", ["read"], ["pooled"], kernel_shape=[2, 2]),
            helper.make_node("QuantizeLinear", ["pooled", "scale", "zero"], ["small"]),
            helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["y"]),
            helper.make_node("QuantizeLinear", ["y", "scale", "zero"], ["again"]),
            helper.make_node("DequantizeLinear", ["again", "scale", "zero"], ["z"]),
        ],
        {"x": [1, 2, 5, 5]},
        {name: np.array(number) for name, number in numbers.items()},
        outputs=("y", "z"),
    )
    assert tools.check(model).ops["MAX_POOL_2D"] == 1
