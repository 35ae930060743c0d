"""TFLite files: layout at the border, and what the adapter refuses."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from export.formats import WriteOptions, tflite
from export.formats import onnx as onnx_format
from export.graph.program import capture
from export.passes import run_passes
from pfd_models.errors import InputError


class Segments(nn.Module):
    """An image in and an image out: both borders have a layout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, x):
        return self.conv(x).relu()


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_run_takes_pytorchs_layout_whatever_the_files(tmp_path, layout):
    torch.manual_seed(0)
    module, x = Segments().eval(), torch.randn(1, 3, 6, 7)
    program = run_passes(capture(module, (x,)))
    onnx_format.write(program, tmp_path / "x.onnx", WriteOptions())
    options = WriteOptions(identity={"name": "s"}, made_from=tmp_path / "x.onnx", tflite_io=layout)
    written = tflite.write(program, tmp_path / "x.tflite", options)
    shapes = [s.shape for s in (*written.inputs, *written.outputs)]
    assert shapes == (
        [(1, 6, 7, 3), (1, 6, 7, 5)] if layout == "nhwc" else [(1, 3, 6, 7), (1, 5, 6, 7)]
    )
    assert {s.layout for s in (*written.inputs, *written.outputs)} == {layout.upper()}
    (found,) = tflite.load(tmp_path / "x.tflite")([x.numpy()])
    with torch.no_grad():
        expected = module(x).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5
    assert tflite.read_identity(tmp_path / "x.tflite") == {"name": "s", "io_layout": layout}


def test_a_foreign_file_may_keep_flatbuffers_among_its_entries(files, tmp_path):
    """TensorFlow's converter does: its CONVERSION_METADATA is no text."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(files.path("tflite").read_bytes(), 0))
    model.metadata = [schema.MetadataT(), schema.MetadataT()]
    for entry, name, content in zip(
        model.metadata,
        ("min_runtime_version", "CONVERSION_METADATA"),
        (b"1.5.0", b"\x00\xc0"),
        strict=True,
    ):
        entry.name, entry.buffer = name, len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = np.frombuffer(content, np.uint8)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "foreign.tflite"
    path.write_bytes(builder.Output())
    assert tflite.read_identity(path) == {"min_runtime_version": "1.5.0"}
    assert tflite.load(path)


def test_it_needs_an_onnx_file(program, tmp_path):
    assert tflite.NEEDS == "onnx"
    with pytest.raises(InputError, match="made_from"):
        tflite.write(program, tmp_path / "x.tflite", WriteOptions())


def test_without_delegation_report(files, program, tmp_path):
    options = WriteOptions(made_from=files.path("onnx"), delegation=False)
    assert tflite.write(program, tmp_path / "x.tflite", options).delegates is None
