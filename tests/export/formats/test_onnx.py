"""ONNX files: norms folded, notes stripped, refusals."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest
import torch
from torch import nn

from export.formats import WriteOptions
from export.formats import onnx as onnx_format
from export.graph.program import capture
from export.passes import run_passes
from pfd_models.errors import ModuleError


def operators(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def write(module, x, path):
    onnx_format.write(run_passes(capture(module, (x,))), path, WriteOptions())
    return operators(path)


def test_norms_are_folded_and_the_rewritten_operators_are_there(files):
    found = operators(files.path("onnx"))
    assert found["BatchNormalization"] == 0
    assert found["Conv"] == 1 + 2 * 2 + 1
    assert (found["HardSwish"], found["HardSigmoid"]) == (1, 0)
    assert (found["Clip"], found["Div"], found["Split"]) == (1, 1, 0)
    assert found["Transpose"] == 2  # the two channel shuffles stay reshape, transpose, reshape


def test_a_norm_behind_no_convolution_stays(tmp_path):
    class PoolAdd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.conv(x) + nn.functional.max_pool2d(x, 3, 1))

    found = write(PoolAdd(), torch.randn(1, 4, 8, 8), tmp_path / "x.onnx")
    assert found["BatchNormalization"] == 1


def test_an_unfolded_norm_behind_a_convolution_is_noticed():
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["x", "w"], ["y"], name="conv"),
        make("BatchNormalization", ["y", "a", "b", "c", "d"], ["z"], name="norm"),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], []))
    assert onnx_format._find_unfolded_norms(model) == ["norm"]
    model.graph.node.append(make("Relu", ["y"], ["r"]))  # the convolution has another reader
    assert onnx_format._find_unfolded_norms(model) == []


def test_nothing_is_noted_in_the_file_but_the_identity(files):
    model = onnx.load(files.path("onnx"))
    assert {p.key: p.value for p in model.metadata_props} == files.identity
    graph = model.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        assert not item.doc_string
        assert not item.metadata_props
    onnx.checker.check_model(model, full_check=True)


def test_several_inputs_keep_their_order(tmp_path):
    class Difference(nn.Module):
        def forward(self, a, b):
            return a - b, b.sum(1)

    a, b = torch.randn(2, 5), torch.randn(2, 5)
    path = tmp_path / "x.onnx"
    onnx_format.write(capture(Difference(), (a, b)), path, WriteOptions())
    first, second = onnx_format.load(path)([a.numpy(), b.numpy()])
    assert torch.equal(torch.from_numpy(first), a - b)
    assert abs(second - b.sum(1).numpy()).max() < 1e-6


def test_an_operator_without_onnx_form_is_one_line(tmp_path):
    @torch.library.custom_op("pfd_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    twice.register_fake(torch.empty_like)

    class Custom(nn.Module):
        def forward(self, x):
            return twice(x)

    program = capture(Custom(), (torch.randn(1, 3, 4, 4),))
    with pytest.raises(ModuleError, match="has no ONNX form") as caught:
        onnx_format.write(program, tmp_path / "x.onnx", WriteOptions())
    assert "\n" not in str(caught.value)
    assert "twice" in str(caught.value)
