"""CumSum: a product with a triangle in the delegate, or TFLite's own operator."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from export.onnx_to_tflite import inspect


def summing(tools, shape, axis, dtype=TensorProto.FLOAT, **attrs):
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], **attrs)
    types = {"x": dtype, "y": dtype}
    return tools.make_model([node], {"x": shape}, {"axis": np.array(axis)}, types=types)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [1, -1])
def test_a_short_axis_is_summed_in_the_delegate(tools, axis, exclusive, reverse):
    model = summing(tools, [2, 3, 5, 7], axis, exclusive=exclusive, reverse=reverse)
    assert inspect(tools.check(model).data).leftovers == {}


@pytest.mark.parametrize("dtype", [TensorProto.INT32, TensorProto.INT64])
def test_integers_are_summed_exactly(tools, dtype):
    model = summing(tools, [2, 3, 4], 1, dtype, exclusive=1, reverse=1)
    assert tools.check(model).ops == {"CUMSUM": 1}


def test_a_long_axis_has_no_matrix(tools):
    assert tools.check(summing(tools, [2, 700], 1)).ops == {"CUMSUM": 1}


def test_a_signal_of_one_axis(tools):
    tools.check(summing(tools, [9], 0))
