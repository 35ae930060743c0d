"""Layers by the names of the user's modules, and which of them can be kept in float."""

from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import nn

from export.formats import WriteOptions, get_format
from export.graph.program import capture
from export.network.named_inputs import take_named_inputs
from export.passes import run_passes
from export.quantization.layers import choose_layers, name_layers
from export.quantization.quantize import quantize, simplify
from export.quantization.roles import Role, role
from export.request.source import InputTensor
from pfd_models.errors import SpecError
from tests.export.quantization.conftest import noise

SHAPE = (1, 3, 8, 8)


class Unit(nn.Module):
    """A convolution with a norm and an activation, and a shortcut around a second one."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Hardswish()
        self.project = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return x + self.project(self.act(self.norm(self.conv(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.unit, self.head = nn.Conv2d(3, 4, 1), Unit(), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.unit(F.relu(self.stem(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def program():
    return run_passes(capture(Net().eval(), noise(SHAPE, 1)[0]))


def operators_in_float(program, *keep):
    graph = simplify(program, keep).module.graph
    return {n.name for n in graph.nodes if n.op == "call_function" and role(n) is Role.FLOAT}


def test_a_layer_is_named_by_its_module_also_where_a_norm_was_folded_into_it(program):
    assert {n: len(ops) for n, ops in name_layers(simplify(program).module.graph).items()} == {
        "stem": 1,
        "unit.conv": 1,
        "unit.act": 1,
        "unit.project": 1,
        "unit.add": 1,  # what a module with submodules computes itself
        "mean": 1,
        "head": 1,
    }


def test_a_module_whose_inputs_have_names_keeps_its_own(program):
    named = take_named_inputs(Net().eval(), [InputTensor(shape=SHAPE, name="x")])
    wrapped = run_passes(capture(named, noise(SHAPE, 1)[0]))
    graphs = [simplify(each).module.graph for each in (program, wrapped)]
    assert list(name_layers(graphs[0])) == list(name_layers(graphs[1]))


def test_a_name_is_a_layer_or_all_layers_of_a_module():
    names = ["stem", "unit.conv", "unit.add", "units"]
    assert choose_layers(names, ["unit"]) == ["unit.conv", "unit.add"]
    assert choose_layers(names, ["units", "stem", "unit.conv"]) == ["stem", "unit.conv", "units"]


def test_an_unknown_name_is_one_line_with_the_nearest():
    with pytest.raises(SpecError) as caught:
        choose_layers(["stem", "unit.conv", "unit.act"], ["unit.convs"])
    assert str(caught.value).startswith("unknown layer 'unit.convs': did you mean 'unit.conv'")
    assert "export.sensitivity" in str(caught.value)


def test_what_is_kept_in_float_computes_in_float_with_what_only_it_reads(program):
    assert operators_in_float(program, "unit.conv") == {"conv2d_1"}
    assert operators_in_float(program, "unit.act") == set()  # a table, between integers
    # The activation reads and feeds only what is in float; the sum has one operand from it.
    assert operators_in_float(program, "unit") == {"conv2d_1", "hardswish", "conv2d_2", "add"}
    assert operators_in_float(program, "head", "mean") == {"mean", "linear"}


@pytest.mark.parametrize("layer", ["unit.add", "mean"])
def test_a_sum_or_a_mean_between_integers_computes_in_integers_whatever_is_asked(program, layer):
    """Between a dequantise and a quantise it is an operator in integers for every runtime."""
    assert operators_in_float(program, layer) == set()
    assert simplify(program, [layer]).kept == ()


@pytest.mark.parametrize("keep", [["stem", "unit.act"], ["unit", "head"]])
def test_layers_in_float_stay_in_the_one_delegate(program, tmp_path, keep):
    quantized = quantize(program, noise(SHAPE, 4), keep=keep)
    assert all("kept in float as asked" in line for line in quantized.kept_float)
    for kind in ("onnx", "tflite", "pte"):
        options = WriteOptions(made_from=tmp_path / "net.onnx")
        written = get_format(kind).write(quantized.program, tmp_path / f"net.{kind}", options)
        assert (written.delegates, written.leftovers) in ((None, ()), (1, ()))


def test_the_values_are_those_of_the_onnx_file_with_its_scales(program, tmp_path):
    import onnx
    from onnx import numpy_helper

    quantized = quantize(program, noise(SHAPE, 4))
    get_format("onnx").write(quantized.program, tmp_path / "net.onnx", WriteOptions())
    graph = onnx.load(tmp_path / "net.onnx").graph
    numbers = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    stored = {
        node.input[0]: (float(numbers[node.input[1]]), int(numbers[node.input[2]]) - 128)
        for node in graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] != "image"
    }
    assert [stored[v.name] for v in quantized.values] == [
        (v.scale, v.zero_point) for v in quantized.values
    ]
    assert [v.module for v in quantized.values if v.name == "unit/conv/conv2d"] == ["unit.conv"]


def test_the_tflite_file_has_the_same_names(program, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    quantized = quantize(program, noise(SHAPE, 4))
    options = WriteOptions(made_from=tmp_path / "net.onnx", delegation=False)
    for kind in ("onnx", "tflite"):
        get_format(kind).write(quantized.program, tmp_path / f"net.{kind}", options)
    details = Interpreter(str(tmp_path / "net.tflite")).get_tensor_details()
    found = {d["name"]: (float(d["quantization"][0]), d["quantization"][1]) for d in details}
    *inner, last = ((v.name, (pytest.approx(v.scale), v.zero_point)) for v in quantized.values)
    assert {name: found[name] for name, _ in inner} == dict(inner)
    assert found[quantized.program.outputs[0].name] == last[1]
