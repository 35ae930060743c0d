"""What apps' libraries find in a .tflite: small, the same every time, in nobody's way."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from onnx import TensorProto, helper

from export.onnx_to_tflite import convert
from export.onnx_to_tflite.app_metadata import (
    AppMetadata,
    AppTensor,
    append_files,
    write_app_metadata,
)

LABELS = tuple(f"class {i}" for i in range(1000))


def about(labels=()):
    image = AppTensor(
        name="image",
        colours="RGB",
        mean=(123.7, 116.3, 103.5),
        std=(58.4, 57.1, 57.4),
        least=(-2.1, -2.0, -1.8),
        most=(2.2, 2.4, 2.6),
    )
    scores = AppTensor(name="probabilities", labels="axis" if labels else "")
    return AppMetadata(name="mobilenet", inputs=(image,), outputs=(scores,), labels=labels)


def relu():
    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4])
    result = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4])
    node = helper.make_node("Relu", ["image"], ["scores"])
    graph = helper.make_graph([node], "net", [value], [result])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_it_takes_less_than_a_kilobyte_without_the_labels():
    written = write_app_metadata(about(LABELS))
    assert written[4:8] == b"M001"
    assert len(written) <= 1024
    assert len(convert(relu(), app=about()).data) - len(convert(relu()).data) <= 1024


def test_labels_lie_unpacked_behind_the_model_which_still_runs():
    from ai_edge_litert.interpreter import Interpreter

    data = convert(relu(), app=about(LABELS)).data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (file,) = archive.infolist()
        assert (file.filename, file.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        assert archive.read(file).decode().splitlines() == list(LABELS)
    run = Interpreter(model_content=data).get_signature_runner()
    assert run(image=np.float32([[-1, 0, 1, 2]]))["scores"].tolist() == [[0, 0, 1, 2]]


def test_two_conversions_give_the_same_bytes():
    assert convert(relu(), app=about(LABELS)).data == convert(relu(), app=about(LABELS)).data


def test_a_model_without_labels_has_no_archive():
    assert append_files(b"model", about().files()) == b"model"
