"""A model whose first dimension has a name becomes a file that is resized to any batch."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import helper

from export.onnx_to_tflite import convert, inspect
from pfd_models.errors import UnsupportedOperatorError


def run(data, x):
    interpreter = Interpreter(model_content=data, num_threads=1)
    (fed,), (read,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(fed["index"], x.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(fed["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(read["index"])


NODES = {
    "reshape": [helper.make_node("Reshape", ["x", "halves"], ["y"])],
    "slice": [helper.make_node("Slice", ["x", "one", "three", "one"], ["y"])],
    "strided": [helper.make_node("Slice", ["x", "zero", "six", "one", "two"], ["y"])],
    "shuffle": [
        helper.make_node("Reshape", ["x", "halves"], ["split"]),
        helper.make_node("Transpose", ["split"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["turned", "whole"], ["y"]),
    ],
}
CONSTANTS = {
    "zero": [0], "one": [1], "two": [2], "three": [3], "six": [6], "halves": [-1, 2, 3],
    "whole": [-1, 6],
}  # fmt: skip


@pytest.mark.parametrize("kind", NODES)
def test_what_holds_a_size_takes_any_batch(tools, kind):
    used = {name for node in NODES[kind] for name in node.input}
    constants = {name: value for name, value in CONSTANTS.items() if name in used}
    model = tools.make_model(NODES[kind], {"x": ["batch", 6]}, constants)
    conversion = convert(model, batch=4)
    assert [(t.shape[0], t.has_open_batch) for t in conversion.inputs] == [(4, True)]
    if kind != "strided":
        assert inspect(conversion.data).delegates == 1
    for batch in (1, 4, 7):
        x = np.random.default_rng(batch).standard_normal((batch, 6)).astype("float32")
        assert np.array_equal(run(conversion.data, x), tools.run_onnx(model, {"x": x})["y"])


def test_a_constant_that_depends_on_the_batch_is_named(tools):
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sizes"], to=1),
        helper.make_node("Slice", ["sizes", "zero", "one"], ["size"]),
        helper.make_node("Div", ["x", "size"], ["y"]),
    ]
    model = tools.make_model(nodes, {"x": ["batch", 6]}, {"zero": [0], "one": [1]})
    with pytest.raises(UnsupportedOperatorError, match=r"(DIV|MUL) has a constant that depends on"):
        convert(model)


def test_a_transposed_convolution_is_refused_by_name(tools):
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], name="decoder/up/node", strides=[2, 2]
    )
    weight = np.ones((3, 2, 2, 2), np.float32)
    model = tools.make_model([node], {"x": ["batch", 3, 4, 4]}, {"w": weight})
    with pytest.raises(UnsupportedOperatorError) as caught:
        convert(model)
    assert str(caught.value) == (
        "no .tflite of open batch: decoder/up/transpose_conv: a transposed convolution is told its "
        "whole result's size; give one batch"
    )


def test_an_open_size_elsewhere_is_refused(tools):
    model = tools.make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": ["batch", "width"]})
    with pytest.raises(UnsupportedOperatorError, match="'x' has no static shape"):
        convert(model)
