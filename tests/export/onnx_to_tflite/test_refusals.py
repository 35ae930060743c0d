"""What cannot be converted is one line: the node, its operator and attributes, the reason."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pfd_models.errors import InputError, UnsupportedOperatorError


def refusal(tools, model, **options):
    with pytest.raises(UnsupportedOperatorError) as caught:
        tools.convert(model, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert isinstance(caught.value, InputError)
    return message


def test_unknown_operator_names_node_operator_and_attributes(tools):
    node = helper.make_node("Hardmax", ["x"], ["y"], name="head/hardmax", axis=1)
    message = refusal(tools, tools.make_model([node], {"x": [2, 3]}))
    assert message == "head/hardmax: Hardmax(axis=1): this operator has no lowering to TFLite"


def test_a_node_without_name_is_called_by_its_output(tools):
    model = tools.make_model([helper.make_node("Hardmax", ["x"], ["y"])], {"x": [2, 3]})
    assert refusal(tools, model).startswith("Hardmax(y): ")


def test_foreign_domain(tools):
    model = tools.make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [2, 3]})
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    model.graph.node[0].op_type = "Other"
    assert "'com.example'" in refusal(tools, model)


def test_control_flow(tools):
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"])],
        "branch",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, [2, 3])],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    model = tools.make_model([node], {"x": [2, 3]}, {"c": np.array(True)})
    assert "control flow has no lowering" in refusal(tools, model)


def test_dynamic_shape(tools):
    model = tools.make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [2, "width"]})
    message = refusal(tools, model)
    assert "'x' has no static shape" in message


def test_shape_that_depends_on_data(tools):
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name="view")],
        "test",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3]),
            helper.make_tensor_value_info("s", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert refusal(tools, model).startswith("view: Reshape: the shape of 'y' is not static")


def test_old_operator_set(tools):
    model = tools.make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [2, 3]}, opset=11)
    assert "operator set 11" in refusal(tools, model)
    assert tools.check(onnx.version_converter.convert_version(model, 13)).ops == {"RELU": 1}


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.DOUBLE])
def test_other_element_types(tools, dtype):
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", dtype, [2])],
        [helper.make_tensor_value_info("y", dtype, [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert "only float32, int32 and int64 are lowered" in refusal(tools, model)


def test_a_type_that_an_operator_does_not_take(tools):
    types = {"x": TensorProto.INT32, "y": TensorProto.INT32}
    for op_type, reason in (("ReduceMean", "the mean of integers"), ("Relu", "only float32 is")):
        node = helper.make_node(op_type, ["x"], ["y"])
        assert reason in refusal(tools, tools.make_model([node], {"x": [2, 3]}, types=types))


def test_volumes(tools):
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2, 2])
    message = refusal(tools, tools.make_model([node], {"x": [1, 3, 4, 4, 4]}))
    assert "3 spatial axes" in message


def test_more_axes_than_the_kernels_take(tools):
    node = helper.make_node("Softmax", ["x"], ["y"])
    tools.check(tools.make_model([node], {"x": [1, 2, 1, 2, 1, 3]}))
    message = refusal(tools, tools.make_model([node], {"x": [1, 2, 1, 2, 1, 2, 3]}))
    assert "7 axes" in message


def test_an_output_without_input(tools):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["c"], ["z"])]
    model = tools.make_model(nodes, {"x": [2, 3]}, {"c": np.ones(3, np.float32)}, ("y", "z"))
    assert "output 'z' does not depend on any input" in refusal(tools, model)


def test_an_unread_input_of_another_type(tools):
    model = tools.make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [2, 3]})
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.STRING, [2]))
    assert "input 'mask' is object" in refusal(tools, model)


def test_constants_beyond_a_flatbuffer(monkeypatch, tools):
    from export.onnx_to_tflite import writer

    node = helper.make_node("Add", ["x", "c"], ["y"])
    model = tools.make_model([node], {"x": [2, 64]}, {"c": np.ones(64, np.float32)})
    tools.check(model)
    monkeypatch.setattr(writer, "MOST_BYTES", 255)
    assert "a .tflite file holds less than 2 GiB" in refusal(tools, model)


def test_unknown_layout_names_the_nearest(tools):
    model = tools.make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [2, 3]})
    assert "did you mean 'nhwc'" in refusal(tools, model, io_layout="nhcw")
