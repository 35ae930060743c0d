"""TFLite files: layout at the border, and what the adapter refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
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


def test_it_needs_an_onnx_file(program, tmp_path):
    assert tflite.NEEDS == "onnx"
    with pytest.raises(InputError, match="made_from"):
        tflite.write(program, tmp_path / "x.tflite", WriteOptions())


def test_without_delegation_report(files, program, tmp_path):
    options = WriteOptions(made_from=files.path("onnx"), delegation=False)
    assert tflite.write(program, tmp_path / "x.tflite", options).delegates is None
