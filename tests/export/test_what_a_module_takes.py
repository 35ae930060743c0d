"""Modules with named, typed and nested inputs and outputs, through every format."""

import re

import numpy as np
import pytest

from export import BuildRequest, InputTensor, ModuleSource, make_artifacts
from export.build import main
from export.formats import get_format

FILE = """
import torch
from torch import nn


class Detector(nn.Module):
    '''Keywords in, dictionary out.'''

    def __init__(self, width=1.0):
        super().__init__()
        channels = int(8 * width)
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1), nn.BatchNorm2d(channels))
        self.box, self.score = nn.Conv2d(channels, 4, 1), nn.Linear(channels + 2, 5)

    def forward(self, image, *, extra):
        y = self.stem(image).relu()
        pooled = torch.cat([y.mean((2, 3)), extra["hint"]], 1)
        return {"boxes": self.box(y), "classes": self.score(pooled)}


class Camera(nn.Module):
    '''Takes pixels as a camera gives them.'''

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image):
        return self.conv(image.permute(0, 3, 1, 2).float() * 2 - 0.5).mean((2, 3))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(11, 6), nn.Linear(6, 3)

    def forward(self, ids):
        return self.head(self.table(ids).mean(1))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("typed")
    (folder / "user_typed.py").write_text(FILE)
    return folder


def request(folder, target, inputs, **options):
    source = ModuleSource(target=f"user_typed:{target}", inputs=inputs, search_path=str(folder))
    return BuildRequest(source=source, out=folder / "artifacts", **options)


DETECTOR = (
    InputTensor(shape=(1, 3, 12, 16), name="image"),
    InputTensor(shape=(1, 2), name="extra.hint"),
)


@pytest.fixture(scope="module")
def detector(folder):
    return make_artifacts(request(folder, "Detector(width=0.5)", DETECTOR, pte_io="nhwc")).manifest


def test_names_of_keywords_and_dictionaries_are_in_every_file(detector):
    assert detector.stem == "user_typed_Detector_width_0_5_1x3x12x16_1x2_fp32"
    assert {a.format for a in detector.artifacts} == {"pte", "onnx", "tflite"}
    for artifact in detector.artifacts:
        assert [t.name for t in artifact.inputs] == ["image", "extra_hint"]
        assert [t.name for t in artifact.outputs] == ["boxes", "classes"]
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter
    from executorch.runtime import Runtime

    session = onnxruntime.InferenceSession(detector.path(detector.artifact("onnx")))
    assert [i.name for i in session.get_inputs()] == ["image", "extra_hint"]
    assert [o.name for o in session.get_outputs()] == ["boxes", "classes"]
    runner = Interpreter(str(detector.path(detector.artifact("tflite")))).get_signature_runner()
    assert set(runner.get_input_details()) == {"image", "extra_hint"}
    assert set(runner.get_output_details()) == {"boxes", "classes"}
    program = Runtime.get().load_program(detector.path(detector.artifact("pte")))
    assert program.load_method("input_names").execute([]) == ["image", "extra_hint"]
    assert program.load_method("output_names").execute([]) == ["boxes", "classes"]


def test_a_pte_takes_nhwc_where_that_is_asked_for(detector):
    artifact = detector.artifact("pte")
    assert [(t.shape, t.layout) for t in (*artifact.inputs, *artifact.outputs)] == [
        ((1, 12, 16, 3), "NHWC"),
        ((1, 2), "NC"),
        ((1, 6, 8, 4), "NHWC"),
        ((1, 5), "NC"),
    ]
    assert (artifact.delegates, artifact.leftovers) == (1, ())
    import torch
    from executorch.runtime import Runtime

    image = np.random.default_rng(1).standard_normal((1, 3, 12, 16), dtype=np.float32)
    hint = np.ones((1, 2), np.float32)
    boxes, classes = get_format("onnx").load(detector.path(detector.artifact("onnx")))(
        [image, hint]
    )
    method = Runtime.get().load_program(detector.path(artifact)).load_method("forward")
    nhwc = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 2, 3, 1)))
    found = method.execute([nhwc, torch.from_numpy(hint)])
    np.testing.assert_allclose(found[0].numpy(), boxes.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1].numpy(), classes, rtol=1e-4, atol=1e-5)


def test_pixels_that_are_nhwc_in_the_module_stay_so_in_every_file(folder):
    inputs = (InputTensor(shape=(1, 10, 12, 3), name="image"),)
    for layout in ("nhwc", "nchw"):
        manifest = make_artifacts(
            request(folder, "Camera", inputs, pte_io=layout, tflite_io=layout)
        ).manifest
        assert [a.inputs[0].shape for a in manifest.artifacts] == [(1, 10, 12, 3)] * 3


def test_bytes_go_in_as_a_camera_gives_them(folder):
    inputs = (InputTensor(shape=(1, 10, 12, 3), dtype="uint8", name="image"),)
    made = make_artifacts(request(folder, "Camera", inputs, input_range=(0, 255))).manifest
    assert [a.inputs[0].dtype for a in made.artifacts] == ["uint8"] * 3
    pte = made.artifact("pte")
    assert (pte.delegates, [left.op for left in pte.leftovers]) == (
        1, ["dim_order_ops._to_dim_order_copy.default"],
    )  # fmt: skip


def test_integers_that_index_an_embedding_stay_inside_it(folder):
    inputs = (InputTensor(shape=(1, 4), dtype="int64", name="ids"),)
    manifest = make_artifacts(request(folder, "Tagger", inputs)).manifest
    assert [a.format for a in manifest.artifacts] == ["onnx", "pte", "tflite"]
    assert {(a.inputs[0].name, a.inputs[0].dtype) for a in manifest.artifacts} == {("ids", "int64")}
    with np.load(manifest.path(manifest.reference)) as stored:
        assert 1 < stored["input_0"].max() < 11


def test_the_command_takes_named_and_typed_inputs(in_process_builds, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    command = ["--module", "user_typed:Tagger()", "--formats", "onnx", "--input", "ids:int64:1,5"]
    assert main(command) == 0
    assert main([*command[:-1], "idz:int64:1,5"]) == 2
    assert re.search(
        r"unknown input 'idz' for Tagger\.forward: did you mean 'ids'", capfd.readouterr().err
    )
