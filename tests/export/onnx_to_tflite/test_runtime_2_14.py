"""The files run on tflite-runtime 2.14 (2023), in an environment of its own.

That runtime needs Python 3.11 or older and numpy below 2, which this project's own environment
is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from extra_environment import make_environment, unavailable
from onnx import TensorProto, helper

REQUIREMENTS = ("tflite-runtime==2.14.0", "numpy<2")
RUNNER = Path(__file__).parent / "run_in_runtime_2_14.py"


@pytest.fixture(scope="module")
def old_python():
    if sys.version_info >= (3, 12):
        unavailable("tflite-runtime 2.14 has no wheel for Python 3.12 and newer")
    name = f"tflite-runtime-2.14-py{sys.version_info.major}{sys.version_info.minor}"
    return make_environment(name, REQUIREMENTS)


def weight(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def node(op_type, inputs, outputs=("y",), **attrs):
    return helper.make_node(op_type, list(inputs), list(outputs), **attrs)


def single(tools, op_type, *, shape=(1, 4, 6, 6), **attrs):
    return tools.make_model([node(op_type, ["x"], **attrs)], {"x": list(shape)})


def convolution(tools, weights, **attrs):
    return tools.make_model(
        [node("Conv", ["x", "w"], **attrs)], {"x": [1, 4, 7, 7]}, {"w": weights}
    )


def small_networks(tools):
    """Every kind of operator that the converter emits in more than one version, and the rest."""
    image = {"x": [1, 4, 6, 6]}
    constants = {
        "shape": [1, 2, 2, 36],
        "shuffle": [1, 2, 2, 6, 6],
        "whole": [1, 4, 6, 6],
        "sizes": [1, 4, 12, 9],
        "m": weight(6, 5),
    }
    layer = [weight(6), weight(6)]
    simple = ("Abs", "Ceil", "Cos", "Exp", "Floor", "Neg", "Round", "Sin", "Tanh")
    return {
        **{op_type.lower(): single(tools, op_type) for op_type in simple},
        "conv": convolution(tools, weight(8, 4, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]),
        "grouped": convolution(tools, weight(8, 2, 3, 3), group=2),
        "dilated": convolution(tools, weight(4, 1, 3, 3), group=4, dilations=[2, 2]),
        "padded": convolution(tools, weight(4, 1, 5, 5), group=4, pads=[2, 0, 1, 2]),
        "transposed": tools.make_model(
            [node("ConvTranspose", ["x", "w"], strides=[2, 2])],
            image,
            {"w": weight(4, 3, 3, 3)},
        ),
        "max_pool": single(tools, "MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        "average_pool": single(tools, "AveragePool", kernel_shape=[3, 3], pads=[1] * 4),
        "hard_swish": single(tools, "HardSwish"),
        "hard_sigmoid": single(tools, "HardSigmoid", alpha=1 / 6, beta=0.5),
        "sigmoid": single(tools, "Sigmoid"),
        "gelu": single(tools, "Gelu"),
        "softmax": single(tools, "Softmax", axis=1),
        "elu": single(tools, "Elu", alpha=0.5),
        "leaky": single(tools, "LeakyRelu", alpha=0.1),
        "depth_to_space": single(tools, "DepthToSpace", blocksize=2, mode="CRD"),
        "space_to_depth": single(tools, "SpaceToDepth", blocksize=2),
        "mean": single(tools, "GlobalAveragePool"),
        "max": single(tools, "GlobalMaxPool"),
        "matmul": tools.make_model([node("MatMul", ["x", "m"])], image, constants),
        "batch_matmul": tools.make_model(
            [node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]), node("MatMul", ["x", "t"])], image
        ),
        "shuffle": tools.make_model(
            [
                node("Reshape", ["x", "shuffle"], ["a"]),
                node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
                node("Reshape", ["b", "whole"]),
            ],
            image,
            constants,
        ),
        "five_axes": tools.make_model(
            [
                node("Reshape", ["x", "shuffle"], ["a"]),
                node("Transpose", ["a"], perm=[4, 2, 1, 3, 0]),
            ],
            image,
            constants,
        ),
        "bilinear": tools.make_model(
            [node("Resize", ["x", "", "", "sizes"], mode="linear")], image, constants
        ),
        "nearest": tools.make_model(
            [node("Resize", ["x", "", "", "sizes"], mode="nearest")], image, constants
        ),
        "cubic": tools.make_model(
            [node("Resize", ["x", "", "", "sizes"], mode="cubic")], image, constants
        ),
        "layer_norm": tools.make_model(
            [node("LayerNormalization", ["x", "s", "t"])],
            image,
            dict(zip("st", layer, strict=True)),
        ),
        **integer_networks(tools),
    }


def integer_networks(tools):
    """Operators on integers and booleans, from a float image to one output."""
    image = {"x": [1, 4, 6, 6]}
    constants = {
        "k": [3],
        "six": np.array(6),
        "list": [3, 0, 2],
        "begin": [0],
        "end": [6],
        "axes": [3],
        "two": [2],
        "zero": np.array(0, np.float32),
    }
    best = [node("TopK", ["x", "k"], ["v", "i"])]
    whole = [node("Cast", ["x"], ["n"], to=TensorProto.INT64)]
    mask = [node("Greater", ["x", "zero"], ["m"])]

    def make(nodes, elem_type):
        return tools.make_model(nodes, image, constants, types={"y": elem_type})

    return {
        "arg_max": make([node("ArgMax", ["x"], axis=1)], TensorProto.INT64),
        "top_k": make([*best, node("Mod", ["i", "two"])], TensorProto.INT64),
        "divided": make([*best, node("Div", ["i", "two"])], TensorProto.INT64),
        "gathered": make([*best, node("GatherElements", ["x", "i"], axis=3)], TensorProto.FLOAT),
        "arithmetic": make(
            [
                *whole,
                node("Mul", ["n", "six"], ["p"]),
                node("Sub", ["p", "n"], ["q"]),
                node("Add", ["q", "six"], ["r"]),
                node("Sign", ["r"]),
            ],
            TensorProto.INT64,
        ),
        "signs": make([node("Sign", ["x"])], TensorProto.FLOAT),
        "mask": make(
            [
                *mask,
                node("Transpose", ["m"], ["t"], perm=[0, 1, 3, 2]),
                node("Slice", ["t", "begin", "end", "axes", "two"], ["s"]),
                node("Gather", ["s", "list"], ["g"], axis=1),
                node("Not", ["g"]),
            ],
            TensorProto.BOOL,
        ),
        "selected": make([*mask, node("Where", ["m", "x", "zero"])], TensorProto.FLOAT),
    }


@pytest.fixture(scope="module")
def results(tools, old_python, tmp_path_factory):
    """Error of each network on 2.14 against onnxruntime, or what the runtime said."""
    folder = tmp_path_factory.mktemp("files")
    networks = small_networks(tools)
    for name, model in networks.items():
        feeds = tools.seeded(model, 0)
        (want,) = tools.run_onnx(model, feeds).values()
        (folder / f"{name}.tflite").write_bytes(tools.convert(model).data)
        np.save(folder / f"{name}.in.npy", tools.stored(feeds["x"], "nhwc"))
        np.save(folder / f"{name}.out.npy", tools.stored(want, "nhwc"))
    done = subprocess.run(
        [str(old_python), str(RUNNER), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == set(networks)
    return found


def test_every_small_network_is_right_on_2_14(results):
    bad = {
        name: result
        for name, result in results.items()
        if isinstance(result, str) or not result <= 1e-5
    }
    assert not bad


def test_a_file_with_half_weights_is_right_on_2_14(tools, old_python, tmp_path):
    """It computes in float32 there: that runtime knows the DEQUANTIZE, not the metadata."""
    from export.onnx_to_tflite import convert

    kernel, dense = (w.astype(np.float16).astype(np.float32) for w in (weight(8, 4, 3, 3),) * 2)
    model = tools.make_model(
        [
            node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "v"]),
        ],
        {"x": [1, 4, 7, 7]},
        {"w": kernel, "v": dense.reshape(4, 8, 3, 3)},
    )
    feeds = tools.seeded(model, 0)
    (want,) = tools.run_onnx(model, feeds).values()
    data = convert(
        model, half_weights=True, metadata={"reduced_precision_support": "fp16accfp16"}
    ).data
    assert len(data) < 2 * 2 * kernel.size + 4000
    (tmp_path / "half.tflite").write_bytes(data)
    np.save(tmp_path / "half.in.npy", tools.stored(feeds["x"], "nhwc"))
    np.save(tmp_path / "half.out.npy", tools.stored(want, "nhwc"))
    assert run_on(old_python, tmp_path)["half"] <= 1e-5


def test_an_int8_file_is_right_to_two_steps_on_2_14(old_python, tmp_path):
    """That runtime computes it with its built-in kernels, which round some products otherwise."""
    import torch.nn.functional as F
    from torch import nn

    from export.formats import WriteOptions, get_format
    from export.quantization.integer_reference import run_integers
    from export.quantization.quantize import quantize
    from tests.export.quantization.conftest import capture_simply, noise

    shape = (1, 4, 8, 8)
    layers = [nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 3, groups=8), nn.Linear(8, 9)]
    program = capture_simply(
        lambda x, c, d, e: e(F.hardswish(d(F.relu6(c(x)))).mean((2, 3))), shape, *layers
    )
    quantized = quantize(program, noise(shape, 6))
    for kind in ("onnx", "tflite"):
        options = WriteOptions(made_from=tmp_path / "int8.onnx" if kind == "tflite" else None)
        get_format(kind).write(quantized.program, tmp_path / f"int8.{kind}", options)
    (sample,) = noise(shape, 1, seed=1)
    want = run_integers(quantized.program, sample)[0].numpy()
    np.save(tmp_path / "int8.in.npy", sample[0].numpy().transpose(0, 2, 3, 1))
    np.save(tmp_path / "int8.out.npy", want)
    found = run_on(old_python, tmp_path)["int8"]
    assert found * np.abs(want).max() / quantized.outputs[0].scale <= 2.001


def run_on(old_python, folder):
    done = subprocess.run(
        [str(old_python), str(RUNNER), str(folder)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_old_runtime_refuses_a_version_it_does_not_know(tools, old_python, tmp_path):
    """The negative twin: one operator version too high, and 2.14 says so."""
    from ai_edge_litert import schema_py_generated as schema

    from export.onnx_to_tflite import versions

    model = small_networks(tools)["conv"]
    data = tools.convert(model).data
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for code in file.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.CONV_2D:
            code.version = versions.HIGHEST_IN_2_14["CONV_2D"] + 1
    import flatbuffers

    builder = flatbuffers.Builder(len(data))
    builder.Finish(file.Pack(builder), b"TFL3")
    (tmp_path / "high.tflite").write_bytes(bytes(builder.Output()))
    np.save(tmp_path / "high.in.npy", np.zeros((1, 7, 7, 4), np.float32))
    np.save(tmp_path / "high.out.npy", np.zeros((1, 4, 4, 8), np.float32))
    done = subprocess.run(
        [str(old_python), str(RUNNER), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "Didn't find op for builtin opcode" in json.loads(done.stdout)["high"]
