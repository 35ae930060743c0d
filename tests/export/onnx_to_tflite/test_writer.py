"""The flatbuffer itself, read back with the official bindings."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import helper

from export.onnx_to_tflite import versions
from export.onnx_to_tflite.graph import Op, Tensor
from export.onnx_to_tflite.writer import ALIGNMENT


def weight(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def model(tools):
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("HardSwish", ["a"], ["features"]),
        helper.make_node("ReduceMean", ["features", "axes"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "v", "b"], ["logits"], transB=1),
    ]
    constants = {"w": weight(5, 3, 3, 3), "v": weight(7, 5), "b": weight(7), "axes": [2, 3]}
    return tools.make_model(nodes, {"image": [1, 3, 8, 8]}, constants, ("logits", "features"))


def parsed(data):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def constant_addresses(data):
    """Offset in the file of each non-empty buffer."""
    root = schema.Model.GetRootAs(data, 0)
    addresses = {}
    for i in range(root.BuffersLength()):
        buffer = root.Buffers(i)
        if buffer.DataLength():
            table = buffer._tab
            addresses[i] = table.Vector(table.Offset(4))
    return addresses


def test_identifier_version_and_description(tools, model):
    data = tools.convert(model, description="a description").data
    assert data[4:8] == b"TFL3"
    file = parsed(data)
    assert file.version == 3
    assert file.description == b"a description"


def test_every_constant_starts_at_a_multiple_of_sixteen(tools, model):
    addresses = constant_addresses(tools.convert(model, metadata={"name": "odd"}).data)
    assert len(addresses) >= 6
    assert {address % ALIGNMENT for address in addresses.values()} == {0}


def test_buffer_zero_is_empty_and_computed_tensors_use_it(tools, model):
    file = parsed(tools.convert(model).data)
    assert file.buffers[0].data is None
    made = {index for op in file.subgraphs[0].operators for index in op.outputs}
    assert {file.subgraphs[0].tensors[index].buffer for index in made} == {0}


def test_metadata_is_utf8_text_by_name(tools, model):
    texts = {"name": "shufflenetv2", "source": "naïve café", "empty": ""}
    file = parsed(tools.convert(model, metadata=texts).data)
    stored = {}
    for entry in file.metadata:
        raw = file.buffers[entry.buffer].data
        stored[entry.name.decode()] = b"" if raw is None else bytes(raw)
    assert {name: raw.decode() for name, raw in stored.items()} == texts


def test_signature_and_tensors_have_the_names_of_onnx(tools, model):
    conversion = tools.convert(model)
    file = parsed(conversion.data)
    (signature,) = file.signatureDefs
    tensors = file.subgraphs[0].tensors
    assert signature.signatureKey == b"serving_default"
    assert [entry.name for entry in signature.inputs] == [b"image"]
    assert [entry.name for entry in signature.outputs] == [b"logits", b"features"]
    assert [e.tensorIndex for e in signature.outputs] == list(file.subgraphs[0].outputs)
    assert tensors[signature.inputs[0].tensorIndex].name == b"image"
    names = [tensor.name for tensor in tensors]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("layout", "image", "features"),
    [("nhwc", (1, 8, 8, 3), (1, 4, 4, 5)), ("nchw", (1, 3, 8, 8), (1, 5, 4, 4))],
)
def test_conversion_says_shapes_types_and_layouts(tools, model, layout, image, features):
    conversion = tools.check(model, layout)
    (taken,) = conversion.inputs
    logits, maps = conversion.outputs
    assert (taken.name, taken.shape, taken.dtype, taken.layout) == (
        "image",
        image,
        "float32",
        layout,
    )
    assert (logits.name, logits.shape, logits.layout) == ("logits", (1, 7), "")
    assert (maps.name, maps.shape, maps.layout) == ("features", features, layout)
    assert conversion.ops.get("TRANSPOSE", 0) == (0 if layout == "nhwc" else 2)


def test_both_layouts_compute_the_same(tools, model):
    feeds = tools.seeded(model, 3)
    results = {}
    for layout in ("nhwc", "nchw"):
        data = tools.convert(model, io_layout=layout).data
        results[layout] = tools.run_tflite(data, {"image": tools.stored(feeds["image"], layout)})
    np.testing.assert_array_equal(results["nhwc"]["logits"], results["nchw"]["logits"])
    np.testing.assert_array_equal(
        results["nhwc"]["features"], results["nchw"]["features"].transpose(0, 2, 3, 1)
    )


def test_writing_twice_gives_the_same_bytes(tools, model):
    assert tools.convert(model).data == tools.convert(model).data


def test_one_flipped_weight_is_caught(tools, model):
    """The comparison that every other test here relies on sees a single sign."""
    conversion = tools.check(model)
    addresses = constant_addresses(conversion.data)
    file = parsed(conversion.data)
    caught = 0
    for tensor in file.subgraphs[0].tensors:
        if tensor.buffer and tensor.type == schema.TensorType.FLOAT32 and len(tensor.shape) > 1:
            damaged = bytearray(conversion.data)
            damaged[addresses[tensor.buffer] + 3] ^= 0x80  # the sign of the first element
            other = type(conversion)(
                data=bytes(damaged),
                ops=conversion.ops,
                inputs=conversion.inputs,
                outputs=conversion.outputs,
            )
            assert tools.worst_error(model, other) > 1e-4
            caught += 1
    assert caught == 2  # the convolution's and the classifier's


def test_equal_small_constants_are_stored_once(tools):
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["a"], keepdims=1),
        helper.make_node("Sub", ["x", "a"], ["b"]),
        helper.make_node("ReduceMax", ["b", "axes"], ["y"], keepdims=1),
    ]
    data = tools.check(tools.make_model(nodes, {"x": [1, 3, 4, 4]}, {"axes": [2, 3]})).data
    assert len(constant_addresses(data)) == 1


def test_an_unknown_option_is_an_error_of_the_lowering():
    from export.onnx_to_tflite.graph import Graph
    from export.onnx_to_tflite.writer import write

    x = Tensor(name="x", shape=(1,), dtype=np.dtype(np.float32))
    y = Tensor(name="y", shape=(1,), dtype=np.dtype(np.float32))
    op = Op(kind="SOFTMAX", inputs=(x,), outputs=(y,), options={"bata": 1.0})
    graph = Graph(inputs=(("x", x),), outputs=(("y", y),), ops=[op])
    with pytest.raises(KeyError, match="bata"):
        write(graph, metadata={}, description="")


def dummy(*shape):
    return Tensor(name="t", shape=shape, dtype=np.dtype(np.float32))


@pytest.mark.parametrize(
    ("kind", "inputs", "options", "expected"),
    [
        ("CONV_2D", [(1, 4, 4, 8), (8, 3, 3, 8), (8,)], {}, 1),
        ("CONV_2D", [(1, 4, 4, 8), (8, 3, 3, 4), (8,)], {}, 6),
        ("DEPTHWISE_CONV_2D", [(1, 4, 4, 8), (1, 3, 3, 8), (8,)], {"dilationHFactor": 2}, 2),
        ("FULLY_CONNECTED", [(1, 4, 8), (8, 8), (8,)], {"keepNumDims": True}, 5),
        ("TRANSPOSE", [(1, 2, 3, 4, 5), (5,)], {}, 4),
        ("TRANSPOSE", [(1, 2, 3, 4, 5, 6), (6,)], {}, 6),
        ("SLICE", [(1, 2, 3, 4, 5), (5,), (5,)], {}, 5),
        ("RESIZE_BILINEAR", [(1, 2, 3, 4), (2,)], {"halfPixelCenters": True}, 3),
        ("ADD", [(1, 2, 3, 4), (4,)], {}, 1),
    ],
)
def test_versions_are_the_lowest_and_fit_2_14(kind, inputs, options, expected):
    op = Op(
        kind=kind,
        inputs=tuple(dummy(*shape) for shape in inputs),
        outputs=(dummy(*inputs[0]),),
        options=options,
    )
    assert versions.version(op) == expected
    assert expected <= versions.HIGHEST_IN_2_14[kind]
