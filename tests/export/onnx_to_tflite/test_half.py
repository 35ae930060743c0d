"""Float constants stored in half precision."""

import numpy as np
import pytest

from export.onnx_to_tflite.graph import Graph, Op, Tensor, constant
from export.onnx_to_tflite.half import MOST_KEPT, store_half
from export.onnx_to_tflite.versions import version
from pfd_models.errors import UnsupportedOperatorError

FLOAT = np.dtype(np.float32)


def sums_with(*constants):
    """A chain of additions of constants."""
    shape = constants[0].shape
    tensors = [Tensor(name=f"t{i}", shape=shape, dtype=FLOAT) for i in range(len(constants) + 1)]
    ops = [
        Op(kind="ADD", inputs=(tensors[i], each), outputs=(tensors[i + 1],))
        for i, each in enumerate(constants)
    ]
    return Graph(inputs=(("x", tensors[0]),), outputs=(("y", tensors[-1]),), ops=ops)


def test_a_constant_is_read_through_one_dequantise_however_often_it_is_used():
    shared = constant("c", np.linspace(0, 1, 20, dtype=np.float32))
    graph = sums_with(shared, shared)
    store_half(graph)
    read, first, second = graph.ops
    assert [op.kind for op in graph.ops] == ["DEQUANTIZE", "ADD", "ADD"]
    assert first.inputs[1] is second.inputs[1] is read.output
    assert (read.data_input.dtype, read.output.dtype, version(read)) == (np.float16, FLOAT, 3)
    assert np.array_equal(read.data_input.data, shared.data.astype(np.float16))


def test_small_constants_and_integers_stay():
    graph = sums_with(
        constant("few", np.ones(MOST_KEPT, np.float32)), constant("whole", np.arange(40))
    )
    before = list(graph.ops)
    store_half(graph)
    assert [op.inputs for op in graph.ops] == [op.inputs for op in before]


def test_a_constant_beyond_the_largest_half_number_is_refused_by_name():
    graph = sums_with(constant("scale", np.full(20, -7e4, np.float32)))
    with pytest.raises(UnsupportedOperatorError, match=r"^the constant 'scale' holds 70000, and"):
        store_half(graph)


def test_infinity_is_a_half_number():
    mask = np.zeros(20, np.float32)
    mask[3] = -np.inf
    graph = sums_with(constant("mask", mask))
    store_half(graph)
    assert np.array_equal(graph.ops[0].data_input.data, mask)
