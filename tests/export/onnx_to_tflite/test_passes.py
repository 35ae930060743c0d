"""Each rewrite of the lowered graph: where it fires, where it must not, and equal values."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from onnx import helper

from export.onnx_to_tflite.passes import PASSES


def node(op_type, inputs, outputs=("y",), **attrs):
    return helper.make_node(op_type, list(inputs), list(outputs), **attrs)


def weight(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def scalar(value):
    return np.array(value, np.float32)


def test_every_pass_file_is_in_the_ordered_tuple(repository):
    files = {path.stem for path in (repository / "export/onnx_to_tflite/passes").glob("[a-z]*.py")}
    assert files == {rewrite.__name__ for rewrite in PASSES}


class TestFuseActivations:
    def test_fires_for_the_only_reader(self, tools):
        nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"])]
        model = tools.make_model(nodes, {"x": [1, 3, 4, 4]}, {"w": weight(4, 3, 1, 1)})
        assert tools.check(model).ops == {"CONV_2D": 1}

    @pytest.mark.parametrize("outputs", [("y", "a"), ("y", "z")])
    def test_not_where_the_sum_is_read_elsewhere(self, tools, outputs):
        nodes = [
            node("Conv", ["x", "w"], ["a"]),
            node("Relu", ["a"]),
            node("Sigmoid", ["a"], ["z"]),
        ]
        model = tools.make_model(nodes, {"x": [1, 3, 4, 4]}, {"w": weight(4, 3, 1, 1)}, outputs)
        assert tools.check(model).ops["RELU"] == 1

    def test_not_behind_another_activation(self, tools):
        nodes = [
            node("Conv", ["x", "w"], ["a"]),
            node("Relu", ["a"], ["b"]),
            node("Clip", ["b", "low", "high"]),
        ]
        constants = {"w": weight(4, 3, 1, 1), "low": scalar(-1), "high": scalar(1)}
        model = tools.make_model(nodes, {"x": [1, 3, 4, 4]}, constants)
        assert tools.check(model).ops == {"CONV_2D": 1, "RELU_N1_TO_1": 1}

    def test_goes_through_a_concatenation_to_all_its_makers(self, tools):
        nodes = [
            node("Conv", ["x", "v"], ["a"]),
            node("Conv", ["x", "w"], ["b"]),
            node("Concat", ["a", "b"], ["c"], axis=1),
            node("Relu", ["c"]),
        ]
        constants = {"v": weight(4, 3, 1, 1), "w": weight(5, 3, 1, 1)}
        model = tools.make_model(nodes, {"x": [1, 3, 4, 4]}, constants)
        assert tools.check(model).ops == {"CONV_2D": 2, "CONCATENATION": 1}

    def test_stays_behind_a_concatenation_with_one_other_maker(self, tools):
        nodes = [
            node("Conv", ["x", "v"], ["a"]),
            node("Concat", ["a", "x"], ["c"], axis=1),
            node("Relu", ["c"]),
        ]
        model = tools.make_model(nodes, {"x": [1, 3, 4, 4]}, {"v": weight(4, 3, 1, 1)})
        assert tools.check(model).ops["RELU"] == 1


class TestFoldAffine:
    STATISTICS = tuple(np.linspace(0.5, 2, 4, dtype=np.float32) + i for i in range(4))

    def batch_norm(self, channels=4):
        names = ["scale", "shift", "mean", "variance"]
        return dict(zip(names, (s[:channels] for s in self.STATISTICS), strict=True))

    @pytest.mark.parametrize("depthwise", [False, True])
    def test_batch_norm_folds_backwards(self, tools, depthwise):
        statistics = self.batch_norm()
        nodes = [
            node("Conv", ["x", "w"], ["a"], group=4 if depthwise else 1),
            node("BatchNormalization", ["a", *statistics], ["b"]),
            node("Relu", ["b"]),
        ]
        constants = {"w": weight(4, 1 if depthwise else 4, 3, 3), **statistics}
        ops = tools.check(tools.make_model(nodes, {"x": [1, 4, 6, 6]}, constants)).ops
        assert ops == {"DEPTHWISE_CONV_2D" if depthwise else "CONV_2D": 1}

    def test_not_where_the_convolution_is_read_elsewhere(self, tools):
        statistics = self.batch_norm()
        nodes = [
            node("Conv", ["x", "w"], ["a"]),
            node("BatchNormalization", ["a", *statistics]),
        ]
        constants = {"w": weight(4, 4, 1, 1), **statistics}
        model = tools.make_model(nodes, {"x": [1, 4, 6, 6]}, constants, ("y", "a"))
        # The scale and shift that cannot go backwards are one depthwise convolution.
        assert tools.check(model).ops == {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1}

    @pytest.mark.parametrize("depthwise", [False, True])
    def test_batch_norm_folds_forwards(self, tools, depthwise):
        statistics = self.batch_norm()
        nodes = [
            node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2]),
            node("BatchNormalization", ["p", *statistics], ["b"]),
            node("Conv", ["b", "w"], ["y"], group=4 if depthwise else 1),
        ]
        constants = {"w": weight(8, 1 if depthwise else 4, 3, 3), **statistics}
        ops = tools.check(tools.make_model(nodes, {"x": [1, 4, 7, 7]}, constants)).ops
        assert "ADD" not in ops
        assert "MUL" not in ops

    def test_a_shift_does_not_pass_a_padded_border(self, tools):
        statistics = self.batch_norm()
        nodes = [
            node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2]),
            node("BatchNormalization", ["p", *statistics], ["b"]),
            node("Conv", ["b", "w"], ["y"], pads=[1, 1, 1, 1]),
        ]
        constants = {"w": weight(8, 4, 3, 3), **statistics}
        ops = tools.check(tools.make_model(nodes, {"x": [1, 4, 7, 7]}, constants)).ops
        assert ops == {"MAX_POOL_2D": 1, "DEPTHWISE_CONV_2D": 1, "CONV_2D": 1}

    @pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
    @pytest.mark.parametrize("constant_first", [False, True])
    def test_every_elementwise_form(self, tools, kind, constant_first):
        operands = ["k", "a"] if constant_first else ["a", "k"]
        nodes = [node("Conv", ["x", "w", "b"], ["a"]), node(kind, operands)]
        constants = {
            "w": np.abs(weight(4, 3, 1, 1)),
            "b": weight(4) + 9,  # away from zero, for k / a
            "k": weight(4, 1, 1),
        }
        model = tools.make_model(nodes, {"x": [1, 3, 4, 4]}, constants)
        ops = tools.check(model, make_feeds=lambda m, s: {"x": np.abs(tools.seeded(m, s)["x"])}).ops
        assert (ops == {"CONV_2D": 1}) == ((kind, constant_first) != ("Div", True))

    def test_a_map_is_no_scale_per_channel(self, tools):
        nodes = [node("Conv", ["x", "w"], ["a"]), node("Mul", ["a", "k"])]
        constants = {"w": weight(4, 3, 1, 1), "k": weight(4, 4)}
        ops = tools.check(tools.make_model(nodes, {"x": [1, 3, 4, 4]}, constants)).ops
        assert ops == {"CONV_2D": 1, "MUL": 1}

    def test_folds_through_a_concatenation(self, tools):
        statistics = self.batch_norm()
        nodes = [
            node("Slice", ["x", "zero", "two", "one"], ["p"]),
            node("Slice", ["x", "two", "four", "one"], ["q"]),
            node("Conv", ["p", "v"], ["a"], group=2),
            node("Conv", ["q", "w"], ["b"], group=2),
            node("Concat", ["a", "b"], ["c"], axis=1),
            node("BatchNormalization", ["c", *statistics], ["d"]),
            node("Clip", ["d", "low", "high"]),
        ]
        constants = {
            "zero": [0],
            "one": [1],
            "two": [2],
            "four": [4],
            "v": weight(2, 1, 3, 1),
            "w": weight(2, 1, 3, 1),
            **statistics,
            "low": scalar(0),
            "high": scalar(6),
        }
        ops = tools.check(tools.make_model(nodes, {"x": [1, 4, 6, 6]}, constants)).ops
        assert ops == {"SLICE": 2, "DEPTHWISE_CONV_2D": 2, "CONCATENATION": 1}


class TestJoinAffinePairs:
    CONSTANTS = MappingProxyType({"s": weight(3, 1, 1), "t": weight(1, 3, 1, 1)})

    def test_a_scale_a_shift_and_an_activation_are_one_operator(self, tools):
        nodes = [
            node("Mul", ["x", "s"], ["a"]),
            node("Add", ["a", "t"], ["b"]),
            node("Relu", ["b"]),
        ]
        model = tools.make_model(nodes, {"x": [2, 3, 4, 5]}, self.CONSTANTS)
        assert tools.check(model).ops == {"DEPTHWISE_CONV_2D": 1}

    @pytest.mark.parametrize(
        ("nodes", "shape", "outputs"),
        [
            ([node("Mul", ["x", "s"])], [1, 3, 4, 5], ("y",)),
            ([node("Mul", ["x", "s"], ["a"]), node("Add", ["a", "t"])], [1, 3, 1, 1], ("y",)),
            ([node("Mul", ["x", "s"], ["a"]), node("Add", ["a", "t"])], [1, 3, 4, 5], ("y", "a")),
            ([node("Add", ["x", "t"], ["a"]), node("Mul", ["a", "s"])], [1, 3, 4, 5], ("y",)),
        ],
        ids=["no shift", "one pixel", "the scaled map is an output", "the other way round"],
    )
    def test_anything_else_stays(self, tools, nodes, shape, outputs):
        model = tools.make_model(nodes, {"x": shape}, self.CONSTANTS, outputs)
        assert "DEPTHWISE_CONV_2D" not in tools.check(model).ops


class TestOwnPads:
    def pads(self, top, left, bottom, right):
        return [0, 0, top, left, 0, 0, bottom, right]

    def test_a_shared_pad_is_copied_for_each_convolution(self, tools):
        nodes = [
            node("Pad", ["x", "pads"], ["p"]),
            node("Conv", ["p", "v"], ["y"], strides=[2, 2]),
            node("Conv", ["p", "w"], ["z"], strides=[2, 2], group=3),
        ]
        constants = {
            "pads": self.pads(1, 1, 1, 1),
            "v": weight(4, 3, 3, 3),
            "w": weight(3, 1, 3, 3),
        }
        model = tools.make_model(nodes, {"x": [1, 3, 8, 8]}, constants, ("y", "z"))
        assert tools.check(model).ops == {"PAD": 2, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1}

    def test_a_pad_before_a_padded_convolution_is_joined(self, tools):
        nodes = [
            node("Pad", ["x", "pads"], ["p"]),
            node("Conv", ["p", "w"], pads=[1, 0, 0, 1]),
        ]
        constants = {"pads": self.pads(2, 0, 1, 1), "w": weight(4, 3, 3, 3)}
        model = tools.make_model(nodes, {"x": [1, 3, 8, 8]}, constants)
        assert tools.check(model).ops == {"PAD": 1, "CONV_2D": 1}

    def test_a_pad_that_equals_same_vanishes(self, tools):
        nodes = [
            node("Pad", ["x", "pads"], ["p"]),
            node("Conv", ["p", "w"], strides=[2, 2]),
        ]
        constants = {"pads": self.pads(0, 0, 1, 1), "w": weight(4, 3, 3, 3)}
        model = tools.make_model(nodes, {"x": [1, 3, 8, 8]}, constants)
        assert tools.check(model).ops == {"CONV_2D": 1}

    def test_two_padded_convolutions_of_one_map_have_two_pads(self, tools):
        nodes = [
            node("Conv", ["x", "v"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1]),
            node("Conv", ["x", "w"], ["z"], strides=[2, 2], pads=[1, 1, 1, 1]),
        ]
        constants = {"v": weight(4, 3, 3, 3), "w": weight(5, 3, 3, 3)}
        model = tools.make_model(nodes, {"x": [1, 3, 8, 8]}, constants, ("y", "z"))
        assert tools.check(model).ops == {"PAD": 2, "CONV_2D": 2}


class TestAbsorbTranspose:
    def test_a_flattened_image_is_read_as_it_lies(self, tools):
        nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w", "b"], transB=1)]
        constants = {"w": weight(5, 3 * 4 * 6), "b": weight(5)}
        model = tools.make_model(nodes, {"x": [2, 3, 4, 6]}, constants)
        assert tools.check(model).ops == {"RESHAPE": 1, "FULLY_CONNECTED": 1}

    def test_not_where_the_flattened_image_is_an_output(self, tools):
        nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], transB=1)]
        model = tools.make_model(
            nodes, {"x": [2, 3, 4, 6]}, {"w": weight(5, 3 * 4 * 6)}, ("y", "f")
        )
        assert tools.check(model).ops["TRANSPOSE"] == 1

    def test_a_pooled_image_needs_neither(self, tools):
        nodes = [
            node("GlobalAveragePool", ["x"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            node("Gemm", ["f", "w"], transB=1),
        ]
        model = tools.make_model(nodes, {"x": [2, 3, 4, 6]}, {"w": weight(5, 3)})
        assert tools.check(model).ops == {"MEAN": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1}


class TestMergeMoves:
    def test_reshapes_join(self, tools):
        nodes = [
            node("Reshape", ["x", "a"], ["p"]),
            node("Relu", ["p"], ["r"]),
            node("Unsqueeze", ["r", "axes"], ["q"]),
            node("Flatten", ["q"]),
        ]
        model = tools.make_model(nodes, {"x": [4, 6]}, {"a": [2, 3, 4], "axes": [1]})
        assert tools.check(model).ops == {"RESHAPE": 2, "RELU": 1}

    def test_transposes_there_and_back_cancel(self, tools):
        nodes = [
            node("Transpose", ["x"], ["a"], perm=[0, 2, 3, 1]),
            node("Relu", ["a"], ["b"]),
            node("Transpose", ["b"], perm=[0, 3, 1, 2]),
        ]
        model = tools.make_model(nodes, {"x": [1, 3, 4, 5]})
        for layout in ("nhwc", "nchw"):
            assert tools.check(model, layout).ops == {"RELU": 1}

    def test_one_that_moves_data_stays(self, tools):
        model = tools.make_model([node("Transpose", ["x"], perm=[0, 2, 1, 3])], {"x": [1, 3, 4, 5]})
        assert tools.check(model).ops == {"TRANSPOSE": 1}
