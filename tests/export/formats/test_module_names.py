"""Nodes, values and weights of the files bear the names of the user's own modules."""

from __future__ import annotations

from collections import OrderedDict

import onnx
import pytest
import torch
from torch import nn

from export.formats import WriteOptions, get_format
from export.graph.program import capture
from export.network.app import AppNetwork
from export.passes import run_passes


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(3, 8, 3), bn=nn.BatchNorm2d(8), act=nn.ReLU())
        )
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))


@pytest.fixture(scope="module", params=["alone", "in an app's pipeline"])
def files(request, tmp_path_factory):
    """The .onnx model and the names of the .tflite's tensors."""
    from ai_edge_litert.interpreter import Interpreter

    folder = tmp_path_factory.mktemp("names")
    net = Net()
    if request.param != "alone":
        net = AppNetwork(net, mean=(0.5,) * 3, std=(0.2,) * 3, head="softmax")
    program = run_passes(capture(net.eval(), (torch.randn(1, 3, 12, 12),)))
    for name in ("onnx", "tflite"):
        options = WriteOptions(made_from=folder / "net.onnx")
        get_format(name).write(program, folder / f"net.{name}", options)
    details = Interpreter(str(folder / "net.tflite")).get_tensor_details()
    return onnx.load(str(folder / "net.onnx")), [detail["name"] for detail in details]


def test_a_node_of_the_onnx_file_says_its_modules_path(files):
    graph = files[0].graph
    named = {node.op_type: (node.name, node.output[0]) for node in graph.node}
    assert named["Conv"] == ("stem/conv/conv2d", "stem/conv/conv2d")
    assert named["Relu"] == ("stem/act/relu", "stem/act/relu")
    assert named["Gemm"][0] == "head/linear"


def test_weights_have_the_names_of_the_state_dict_where_a_norm_was_folded_too(files):
    stored = {tensor.name for tensor in files[0].graph.initializer}
    assert {"stem.conv.weight", "stem.conv.bias", "head.weight", "head.bias"} <= stored


def test_tensors_of_the_tflite_file_say_the_same_paths(files):
    names = files[1]
    assert "stem/conv/conv_2d" in names  # with its activation inside
    assert "head/fully_connected" in names
    assert {"stem.conv.weight", "head.weight"} <= set(names)


def test_inputs_and_outputs_keep_the_names_that_callers_use(files):
    graph = files[0].graph
    assert [value.name for value in graph.input] == ["image"]
    assert graph.output[0].name in ("scores", "probabilities")
