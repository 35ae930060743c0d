"""The inspection says what runs outside the delegate, from the file's bytes or path."""

from __future__ import annotations

import numpy as np
from onnx import helper

from export.onnx_to_tflite import inspect


def net(tools, middle):
    """Convolution, something, convolution."""
    weight = np.random.default_rng(0).standard_normal((3, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a0"]),
        helper.make_node("Sigmoid", ["a0"], ["a"]),
        middle,
        helper.make_node("Conv", ["b", "w"], ["y"]),
    ]
    constants = {"w": weight, "e": np.array(1.7, np.float32)}
    return tools.check(tools.make_model(nodes, {"x": [1, 3, 4, 5]}, constants))


def test_an_operator_the_delegate_does_not_take_splits_it(tools):
    found = inspect(net(tools, helper.make_node("Pow", ["a", "e"], ["b"])).data)
    assert found.delegates == 2
    assert found.leftovers == {"POW": 1}
    assert found.transposes == 0


def test_a_wholly_delegated_file_has_one_delegate_and_nothing_left(tools, tmp_path):
    conversion = net(tools, helper.make_node("Mul", ["a", "a"], ["b"]))
    path = tmp_path / "net.tflite"
    path.write_bytes(conversion.data)
    found = inspect(path)
    assert found == inspect(conversion.data)
    assert (found.delegates, found.leftovers) == (1, {})
    assert found.ops == conversion.ops


def test_a_file_without_any_delegated_operator(tools):
    nodes = [helper.make_node("Pow", ["x", "e"], ["y"])]
    model = tools.make_model(nodes, {"x": [2, 3]}, {"e": np.array(1.7, np.float32)})
    found = inspect(tools.convert(model).data)
    assert (found.delegates, found.leftovers) == (0, {"POW": 1})


def test_transposes_are_counted(tools):
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    found = inspect(tools.convert(tools.make_model([node], {"x": [2, 3]})).data)
    assert found.transposes == 1
