"""Moves at five and six axes are written with four at most, and compute the same."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from export.onnx_to_tflite import convert
from export.onnx_to_tflite.graph import Graph, Op, Quantization, Tensor, constant
from export.onnx_to_tflite.listing import list_operators
from export.onnx_to_tflite.passes import run_passes
from export.onnx_to_tflite.passes.narrow_moves import narrow_moves, steps_of


def make_model(*nodes, shape=(1, 8, 8, 8), constants=None):
    """An ONNX model from ``x`` to ``y``; constants are int64 by name."""
    made = onnx.shape_inference.infer_shapes(
        helper.make_model(
            helper.make_graph(
                list(nodes),
                "moves",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                [
                    helper.make_tensor(name, TensorProto.INT64, [len(v)], v)
                    for name, v in (constants or {}).items()
                ],
            ),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=9,
        )
    )
    onnx.checker.check_model(made)
    return made


def reshape_move_reshape(apart, perm, joined):
    return make_model(
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Reshape", ["r", "apart"], ["a"]),
        helper.make_node("Transpose", ["a"], ["t"], perm=perm),
        helper.make_node("Reshape", ["t", "joined"], ["j"]),
        helper.make_node("Sigmoid", ["j"], ["y"]),
        constants={"apart": apart, "joined": joined},
    )


MODELS = {
    "channel shuffle": reshape_move_reshape(
        (1, 2, 4, 8, 8), (0, 2, 1, 3, 4), (1, 8, 8, 8)
    ),
    "window partition": reshape_move_reshape(
        (1, 8, 4, 2, 4, 2), (0, 2, 4, 1, 3, 5), (16, 8, 2, 2)
    ),
    "pixel unshuffle": reshape_move_reshape(
        (1, 8, 4, 2, 4, 2), (0, 1, 3, 5, 2, 4), (1, 32, 4, 4)
    ),
    "heads of attention": make_model(
        helper.make_node("Reshape", ["x", "apart"], ["a"]),
        helper.make_node("Slice", ["a", "one", "two", "axis"], ["s"]),
        helper.make_node("Reshape", ["s", "joined"], ["j"]),
        helper.make_node("Sigmoid", ["j"], ["y"]),
        constants={
            "apart": (1, 16, 4, 2, 4), "one": (1,), "two": (2,), "axis": (2,),
            "joined": (1, 16, 2, 4),
        },
    ),
}  # fmt: skip


def run(data, x):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def most_axes(data):
    return max(len(t.shape) for op in list_operators(data) for t in op.outputs)


@pytest.mark.parametrize("name", MODELS)
def test_a_move_between_reshapes_has_four_axes_at_most_and_the_same_values(name):
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(MODELS[name]).run(None, {"x": x})
    data = convert(MODELS[name], io_layout="nchw").data
    assert most_axes(data) <= 4
    np.testing.assert_allclose(run(data, x), wanted, rtol=0, atol=1e-6)


def test_a_wide_tensor_that_others_read_stays_as_it_is():
    model = make_model(
        helper.make_node("Reshape", ["x", "apart"], ["a"]),
        helper.make_node("Transpose", ["a"], ["t"], perm=(0, 2, 1, 3, 4)),
        helper.make_node("Relu", ["t"], ["y"]),
        constants={"apart": (1, 2, 4, 8, 8)},
    )
    kinds = [op.kind for op in list_operators(convert(model, io_layout="nchw").data)]
    assert most_axes(convert(model, io_layout="nchw").data) == 5
    assert kinds.count("RESHAPE") == 1


@pytest.mark.parametrize("seed", range(40))
def test_any_permutation_is_made_of_narrow_steps(seed):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(5, 7))
    shape = tuple(int(size) for size in rng.integers(1, 4, rank))
    perm = tuple(int(axis) for axis in rng.permutation(rank))
    x = y = np.arange(np.prod(shape))
    for narrow, order in steps_of(shape, perm):
        assert len(narrow) <= 4
        y = y.reshape(narrow).transpose(order)
    assert y.reshape(-1).tolist() == x.reshape(shape).transpose(perm).reshape(-1).tolist()


def test_a_permutation_of_seven_groups_is_left_alone():
    assert steps_of((2,) * 7, (6, 5, 4, 3, 2, 1, 0)) is None


def test_integers_keep_their_type_and_scale_on_the_way():
    scale = Quantization(scale=np.array([0.5], np.float32), zero_point=3)

    def stored(name, shape):
        return Tensor(name=name, shape=shape, dtype=np.dtype(np.int8), quantization=scale)

    x, apart = stored("x", (1, 8, 8, 8)), stored("apart", (1, 8, 8, 2, 4))
    moved, y = stored("moved", (1, 8, 8, 4, 2)), stored("y", (1, 8, 8, 8))
    ops = [
        Op(kind="RESHAPE", inputs=(x, constant("shape", apart.shape)), outputs=(apart,)),
        Op(
            kind="TRANSPOSE",
            inputs=(apart, constant("perm", (0, 1, 2, 4, 3))),
            outputs=(moved,),
        ),
        Op(kind="RESHAPE", inputs=(moved, constant("shape", y.shape)), outputs=(y,)),
    ]
    graph = Graph(inputs=(("x", x),), outputs=(("y", y),), ops=ops)
    run_passes(graph, (narrow_moves,))
    assert [op.kind for op in graph.ops] == ["RESHAPE", "TRANSPOSE", "RESHAPE"]
    for op in graph.ops:
        assert len(op.output.shape) <= 4
        assert (op.output.dtype, op.output.quantization) == (np.dtype(np.int8), scale)
    assert graph.ops[0].data_input is x
    assert graph.ops[-1].output is y
