"""Operators in the forms that exporters write, which single-node cases do not cover."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from export.onnx_to_tflite import inspect


def conv_weight(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def node(op_type, inputs, outputs=("y",), **attrs):
    return helper.make_node(op_type, list(inputs), list(outputs), **attrs)


def test_casts_between_equal_types_and_identities_vanish(tools):
    nodes = [
        node("Cast", ["x"], ["a"], to=1),
        node("Identity", ["a"], ["b"]),
        node("Dropout", ["b"], ["c"]),
        node("Relu", ["c"]),
    ]
    conversion = tools.check(tools.make_model(nodes, {"x": [1, 3, 4, 4]}))
    assert conversion.ops == {"RELU": 1}


@pytest.mark.parametrize("op_type", ["Add", "Pow", "Greater", "Where"])
def test_a_constant_may_have_more_axes_than_what_it_meets(tools, op_type):
    constants = {"c": np.full((1, 1, 3, 1), 0.5, np.float32), "mask": np.array(True)}
    nodes = [
        node("Abs", ["x"], ["a"]),
        node(op_type, ["mask", "a", "c"] if op_type == "Where" else ["a", "c"]),
    ]
    types = {"y": TensorProto.BOOL} if op_type == "Greater" else {}
    tools.check(tools.make_model(nodes, {"x": [3, 4]}, constants, types=types))


def test_an_output_that_is_an_input_is_copied(tools):
    model = tools.make_model([node("Identity", ["x"])], {"x": [2, 3]})
    assert tools.check(model).ops == {"RESHAPE": 1}


def test_two_outputs_may_be_one_value(tools):
    nodes = [node("Relu", ["x"]), node("Identity", ["y"], ["z"])]
    conversion = tools.check(tools.make_model(nodes, {"x": [2, 3]}, outputs=("y", "z")))
    assert conversion.ops == {"RELU": 1}


def test_squeeze_excite_stays_in_nhwc(tools, rng):
    nodes = [
        node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        node("Conv", ["m", "w1", "b1"], ["r"]),
        node("Relu", ["r"], ["a"]),
        node("Conv", ["a", "w2", "b2"], ["e"]),
        node("HardSigmoid", ["e"], ["s"], alpha=1 / 6, beta=0.5),
        node("Mul", ["s", "x"], ["y"]),
    ]
    constants = {
        "axes": [2, 3],
        "w1": conv_weight(rng, 4, 16, 1, 1),
        "b1": conv_weight(rng, 4),
        "w2": conv_weight(rng, 16, 4, 1, 1),
        "b2": conv_weight(rng, 16),
    }
    conversion = tools.check(tools.make_model(nodes, {"x": [2, 16, 5, 7]}, constants))
    # The shift by three went into the second convolution's bias, both activations are fused.
    assert conversion.ops == {"CONV_2D": 2, "MUL": 2, "MEAN": 1}
    found = inspect(conversion.data)
    assert (found.delegates, found.leftovers) == (1, {})


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize("after", ["Relu", "Tanh"])
def test_padded_max_pool_is_exact_and_delegated(tools, rng, size, after):
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node(after, ["a"], ["b"]),
        node("MaxPool", ["b"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    ]
    model = tools.make_model(nodes, {"x": [1, 3, size, size]}, {"w": conv_weight(rng, 8, 3, 1, 1)})
    # Far below zero the border must not be seen as zero.
    model.graph.initializer[0].raw_data = (-np.abs(conv_weight(rng, 8, 3, 1, 1)) * 9).tobytes()
    conversion = tools.check(model)
    found = inspect(conversion.data)
    assert (found.delegates, found.leftovers) == (1, {})
    if size == 17:  # SAME places the windows of an odd size where PyTorch does
        assert "PAD" not in conversion.ops
        assert "CONCATENATION" not in conversion.ops
    else:
        assert ("PAD" in conversion.ops) == (after == "Relu")


def test_stride_one_pool_of_the_stem_needs_no_pad(tools):
    nodes = [node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])]
    assert tools.check(tools.make_model(nodes, {"x": [1, 4, 8, 6]})).ops == {"MAX_POOL_2D": 1}


def test_subsampling_pool_is_delegated(tools):
    nodes = [node("AveragePool", ["x"], kernel_shape=[1, 1], strides=[2, 2])]
    conversion = tools.check(tools.make_model(nodes, {"x": [1, 4, 9, 8]}))
    found = inspect(conversion.data)
    assert (found.delegates, found.leftovers) == (1, {})


@pytest.mark.parametrize("after", [None, "Sub", "Div", "Add", "Mul"])
def test_attention_needs_no_transpose_but_those_of_the_heads(tools, rng, after):
    """Queries, keys and values from 1x1 convolutions, (1, heads, depth, N) in PyTorch."""
    heads, depth, side = 2, 4, 4
    constants = {
        "w": conv_weight(rng, 3 * heads * depth, 8, 1, 1),
        "p": conv_weight(rng, 8, heads * depth, 1, 1),
        "split": [heads * depth] * 3,
        "apart": [1, heads, depth, side * side],
        "image": [1, heads * depth, side, side],
        "bias": conv_weight(rng, 1, heads, side * side, side * side),
        "number": np.array(0.7, np.float32),
    }
    nodes = [
        node("Conv", ["x", "w"], ["qkv"]),
        node("Split", ["qkv", "split"], ["q0", "k0", "v0"], axis=1),
        *[node("Reshape", [f"{n}0", "apart"], [n]) for n in "qkv"],
        node("Transpose", ["q"], ["qt"], perm=[0, 1, 3, 2]),
        node("MatMul", ["qt", "k"], ["s0"]),
        node(after or "Identity", ["s0", "number"] if after else ["s0"], ["s1"]),
        node("Add", ["s1", "bias"], ["s"]),
        node("Softmax", ["s"], ["a"], axis=-1),
        node("Transpose", ["v"], ["vt"], perm=[0, 1, 3, 2]),
        node("MatMul", ["a", "vt"], ["o"]),
        node("Transpose", ["o"], ["ot"], perm=[0, 1, 3, 2]),
        node("Reshape", ["ot", "image"], ["i"]),
        node("Conv", ["i", "p"], ["y"]),
    ]
    model = tools.make_model(nodes, {"x": [1, 8, side, side]}, constants)
    conversion = tools.check(model)
    assert conversion.ops["TRANSPOSE"] == 4  # queries, keys, values, result
    assert inspect(conversion.data).delegates == 1


def test_layer_norm_of_a_permuted_image_needs_no_transpose(tools, rng):
    """ConvNeXt's block: NCHW to NHWC, normalise and multiply the channels, and back."""
    constants = {
        "dw": conv_weight(rng, 8, 1, 7, 7),
        "scale": conv_weight(rng, 8),
        "shift": conv_weight(rng, 8),
        "w": conv_weight(rng, 8, 16),
    }
    nodes = [
        node("Conv", ["x", "dw"], ["a"], group=8, pads=[3, 3, 3, 3]),
        node("Transpose", ["a"], ["b"], perm=[0, 2, 3, 1]),
        node("LayerNormalization", ["b", "scale", "shift"], ["c"], axis=-1, epsilon=1e-6),
        node("MatMul", ["c", "w"], ["d"]),
        node("Gelu", ["d"], ["e"]),
        node("Transpose", ["e"], ["y"], perm=[0, 3, 1, 2]),
    ]
    conversion = tools.check(tools.make_model(nodes, {"x": [1, 8, 10, 9]}, constants))
    assert "TRANSPOSE" not in conversion.ops
    assert inspect(conversion.data).leftovers == {}


@pytest.mark.parametrize("groups", [2, 4])
def test_grouped_convolution_is_one_delegated_operator(tools, rng, groups):
    nodes = [node("Conv", ["x", "w"], group=groups, pads=[1, 1, 1, 1])]
    weight = conv_weight(rng, 8, 8 // groups, 3, 3)
    conversion = tools.check(tools.make_model(nodes, {"x": [1, 8, 6, 5]}, {"w": weight}))
    assert conversion.ops == {"CONV_2D": 1}
    assert inspect(conversion.data).leftovers == {}


@pytest.mark.parametrize(
    ("mode", "coordinates", "rounding"),
    [
        ("nearest", "asymmetric", "floor"),
        ("nearest", "half_pixel", "round_prefer_floor"),
        ("nearest", "align_corners", "round_prefer_ceil"),
        ("linear", "half_pixel", "floor"),
        ("linear", "pytorch_half_pixel", "floor"),
        ("linear", "align_corners", "floor"),
        ("linear", "asymmetric", "floor"),
    ],
)
@pytest.mark.parametrize("sizes", [(10, 12), (15, 6), (3, 4), (7, 9)])
def test_resize_is_exact_and_delegated(tools, mode, coordinates, rounding, sizes):
    attrs = {
        "mode": mode,
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": rounding,
    }
    nodes = [node("Resize", ["x", "", "", "sizes"], **attrs)]
    model = tools.make_model(nodes, {"x": [1, 3, 5, 6]}, {"sizes": [1, 3, *sizes]})
    conversion = tools.check(model)
    assert inspect(conversion.data).leftovers == {}


def test_pads_of_every_mode_are_delegated(tools):
    pads = [0, 0, 2, 1, 0, 0, 1, 2]
    for mode in ("constant", "edge", "reflect", "wrap"):
        nodes = [node("Pad", ["x", "pads"], mode=mode)]
        conversion = tools.check(tools.make_model(nodes, {"x": [1, 3, 5, 6]}, {"pads": pads}))
        assert inspect(conversion.data).leftovers == {}, mode


@pytest.mark.parametrize("value", [1.5, -np.inf])
def test_pads_with_another_value_than_zero_are_delegated(tools, value):
    constants = {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "value": np.array(value, np.float32)}
    model = tools.make_model([node("Pad", ["x", "pads", "value"])], {"x": [1, 3, 5, 6]}, constants)
    feeds = tools.seeded(model, 0)
    conversion = tools.convert(model)
    got = tools.run_tflite(conversion.data, {"x": tools.stored(feeds["x"], "nhwc")})["y"]
    want = tools.stored(tools.run_onnx(model, feeds)["y"], "nhwc")
    np.testing.assert_array_equal(got, want)
    assert inspect(conversion.data).leftovers == {}


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-1, 1), (0, 1), (-2, 0.5), (0, np.inf)])
def test_clip_fuses_where_an_activation_fits(tools, rng, low, high):
    constants = {
        "w": conv_weight(rng, 4, 3, 1, 1),
        "low": np.array(low, np.float32),
        "high": np.array(high, np.float32),
    }
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Clip", ["a", "low", "high"])]
    conversion = tools.check(tools.make_model(nodes, {"x": [1, 3, 5, 6]}, constants))
    fused = (low, high) in {(0, 6), (-1, 1), (0, np.inf)}
    assert (conversion.ops == {"CONV_2D": 1}) == fused
    assert inspect(conversion.data).leftovers == {}


def test_signals_run_as_images_of_height_one(tools, rng):
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[2, 1], strides=[2]),
        node("MaxPool", ["a"], kernel_shape=[3]),
    ]
    tools.check(tools.make_model(nodes, {"x": [2, 3, 21]}, {"w": conv_weight(rng, 4, 3, 4)}))


def test_long_concatenations_are_nested_for_the_delegate(tools):
    names = [f"r{i}" for i in range(11)]
    constants = {f"c{i}": np.float32(i) for i in range(11)}
    nodes = [node("Add", ["x", f"c{i}"], [name]) for i, name in enumerate(names)]
    nodes.append(node("Concat", names, axis=1))
    model = tools.make_model(
        nodes, {"x": [1, 3, 4, 5]}, {k: np.array(v) for k, v in constants.items()}
    )
    conversion = tools.check(model)
    found = inspect(conversion.data)
    assert (found.delegates, found.leftovers) == (1, {})
