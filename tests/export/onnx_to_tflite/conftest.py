"""What the converter's tests share: small ONNX models, both runtimes, one comparison."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.onnx_to_tflite import convert

TOLERANCE = 1e-5  # of the largest output: float32 sums in another order


def make_model(nodes, inputs, constants=None, outputs=("y",), opset=20, types=None):
    """A model from nodes, input shapes by name, and constants by name; float32 but for types."""
    types = types or {}
    constants = {
        name: value if isinstance(value, np.ndarray) else np.array(value, np.int64)
        for name, value in (constants or {}).items()
    }
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info(n, types.get(n, TensorProto.FLOAT), s)
            for n, s in inputs.items()
        ],
        [helper.make_tensor_value_info(n, types.get(n, TensorProto.FLOAT), None) for n in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model))
    return model


def stored(array, layout):
    """An array of ONNX's order as the file takes it."""
    array = np.asarray(array)
    if array.ndim == 4 and layout == "nhwc":
        array = array.transpose(0, 2, 3, 1)
    return array.copy(order="C")


def run_tflite(data, feeds):
    """Run a file on LiteRT by its signature."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter.get_signature_runner("serving_default")(**feeds)


def run_onnx(model, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def seeded(model, seed):
    """Seeded normal inputs in ONNX's order; integers from -9 to 9, of both booleans as many."""
    rng = np.random.default_rng(seed)
    constants = {init.name for init in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
        if dtype == np.float32:
            feeds[value.name] = np.asarray(rng.standard_normal(shape), np.float32)
        else:
            low, high = {"b": (0, 2), "u": (0, 10), "i": (-9, 10)}[dtype.kind]
            feeds[value.name] = np.asarray(rng.integers(low, high, shape), dtype)
    return feeds


def relative_error(got, want):
    """Largest difference over the largest wanted value; infinite for NaN or another shape.

    Integers and booleans are equal, and of the same type, or infinitely far apart.
    """
    got, want = np.asarray(got), np.asarray(want)
    if want.dtype.kind != "f":
        return 0.0 if got.dtype == want.dtype and np.array_equal(got, want) else np.inf
    if got.shape != want.shape or not np.array_equal(np.isnan(got), np.isnan(want)):
        return np.inf
    if not want.size:
        return 0.0
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-3))


def worst_error(model, conversion, layout="nhwc", seeds=(0, 1), make_feeds=seeded):
    """Largest relative error of a file against onnxruntime over seeded inputs."""
    worst = 0.0
    for seed in seeds:
        feeds = make_feeds(model, seed)
        want = run_onnx(model, feeds)
        got = run_tflite(
            conversion.data, {name: stored(value, layout) for name, value in feeds.items()}
        )
        for name, value in want.items():
            worst = max(worst, relative_error(got[name], stored(value, layout)))
    return worst


def check(model, layout="nhwc", **options):
    """Convert, compare with onnxruntime, return the conversion."""
    conversion = convert(model, io_layout=layout)
    error = worst_error(model, conversion, layout, **options)
    assert error <= TOLERANCE, f"relative error {error:.2e}, {dict(conversion.ops)}"
    return conversion


class Toolbox:
    """The functions above, for tests that cannot import a conftest."""

    check = staticmethod(check)
    convert = staticmethod(convert)
    make_model = staticmethod(make_model)
    relative_error = staticmethod(relative_error)
    run_onnx = staticmethod(run_onnx)
    run_tflite = staticmethod(run_tflite)
    seeded = staticmethod(seeded)
    stored = staticmethod(stored)
    worst_error = staticmethod(worst_error)


@pytest.fixture(scope="session")
def tools():
    return Toolbox


@pytest.fixture(scope="session")
def rng():
    return np.random.default_rng(7)
