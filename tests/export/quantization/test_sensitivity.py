"""What each layer loses: alone, inside the whole network, and in each file."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.formats import WriteOptions, get_format
from export.quantization.integer_reference import run_integers
from export.quantization.quantize import quantize, simplify
from export.quantization.recipe import find_ranges
from export.quantization.scales import choose_scales
from export.quantization.sensitivity.alone import measure_alone
from export.quantization.sensitivity.handed_out import hand_out
from export.quantization.sensitivity.inside import follow
from export.quantization.sensitivity.node_data import make_node_data
from export.quantization.sensitivity.result import LayerRow, Sensitivity
from export.sets.manifest import PrecisionCost
from tests.export.quantization.conftest import capture_simply, noise

SHAPE = (1, 3, 8, 8)
SAMPLES, HELD = noise(SHAPE, 6), noise(SHAPE, 4, seed=1)


def unit(x, *layers):
    stem, depthwise, project, head = layers
    x = F.relu(stem(x))
    return head((project(F.hardswish(depthwise(x))) + x).mean((2, 3)))


def prepare(program):
    network = simplify(program)
    graph = network.module.graph
    return network, choose_scales(graph, find_ranges(graph, SAMPLES))


@pytest.fixture(scope="module")
def program():
    layers = [nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)]
    return capture_simply(unit, SHAPE, *layers, nn.Linear(8, 5))


@pytest.fixture(scope="module")
def prepared(program):
    return prepare(program)


@pytest.fixture(scope="module")
def quantized(program):
    return quantize(program, SAMPLES)


def test_each_layer_alone_loses_less_than_all_together(program, prepared, quantized):
    losses = measure_alone(*prepared, SAMPLES, HELD)
    assert [loss.name for loss in losses] == list(prepared[0].layers)
    exact = np.stack([program.run(x)[0].numpy() for x in HELD])
    whole = np.stack([quantized.program.run(x)[0].numpy() for x in HELD])
    together = 10 * np.log10(np.square(exact).sum() / np.square(exact - whole).sum())
    assert all(together - 3 < loss.cost.sqnr_db < 80 for loss in losses)
    assert {loss.cost.samples for loss in losses} == {4}


def test_the_layer_whose_weights_spend_their_range_is_the_worst():
    def with_outliers(x, stem, middle, head):
        return head(middle(stem(x)).mean((2, 3)))

    middle = nn.Conv2d(8, 8, 1)
    program = capture_simply(with_outliers, SHAPE, nn.Conv2d(3, 8, 1), middle, nn.Linear(8, 5))
    module = program.module()
    name = next(n for n, p in module.named_parameters() if p.shape == (8, 8, 1, 1))
    weight = program.exported.state_dict[name].data
    weight[:, 0] *= 300
    losses = measure_alone(*prepare(program), SAMPLES, HELD)
    assert min(losses, key=lambda loss: loss.cost.sqnr_db).operators == ("layers/1/conv2d",)


def test_a_network_of_one_layer_loses_alone_what_it_loses(program):
    single = capture_simply(lambda x, conv: conv(x).flatten(1), SHAPE, nn.Conv2d(3, 4, 8))
    (loss,) = measure_alone(*prepare(single), SAMPLES, HELD)
    found = quantize(single, SAMPLES)
    exact = np.stack([single.run(x)[0].numpy() for x in HELD])
    stored = np.stack([found.program.run(x)[0].numpy() for x in HELD])
    whole = 10 * np.log10(np.square(exact).sum() / np.square(exact - stored).sum())
    assert loss.cost.sqnr_db == pytest.approx(whole, abs=0.01)


@pytest.fixture(scope="module")
def handed(quantized):
    return hand_out(quantized)


def test_every_stored_value_is_handed_out_and_the_outputs_stay_first(quantized, handed):
    outputs = run_integers(handed.program, HELD[0])
    assert torch.equal(outputs[0], run_integers(quantized.program, HELD[0])[0])
    assert set(handed.places) == {value.name for value in quantized.values}
    assert len(outputs) == len(handed.program.outputs) == len(quantized.values)
    for value in quantized.values:
        units = outputs[handed.places[value.name]] / np.float32(value.scale)
        assert torch.allclose(units, units.round(), rtol=0, atol=1e-3)


def test_the_files_equal_the_reference_in_every_layer(prepared, quantized, handed, tmp_path):
    files = {}
    for kind in ("onnx", "tflite", "pte"):
        made, path = get_format(kind), tmp_path / f"inside.{kind}"
        made.write(handed.program, path, WriteOptions(made_from=tmp_path / "inside.onnx"))
        files[kind] = made.load(path)
    values = follow(*prepared, quantized, handed, HELD, files)
    assert [v.name for v in values.values()] == [v.name for v in quantized.values]
    assert all((v.steps["pte"], v.steps["tflite"]) == (0, 0) for v in values.values())
    assert all(v.sqnr_db > 20 for v in values.values()), values


def test_a_file_that_differs_is_found_at_the_layer_where_it_begins_to(prepared, quantized, handed):
    wrong = quantized.values[2]

    def run(sample):
        outputs = [t.numpy() for t in run_integers(handed.program, list(map(torch.tensor, sample)))]
        outputs[handed.places[wrong.name]][0, 0] += 3 * wrong.scale
        return outputs

    values = list(follow(*prepared, quantized, handed, HELD, {"pte": run}).values())
    assert [value.steps["pte"] for value in values][:4] == [0, 0, 3, 0]


def sensitivity(*inside_db):
    cost = PrecisionCost(samples=1, sqnr_db=30.0)
    return Sensitivity(
        stem="net_int8",
        calibration="arrays",
        is_synthetic=False,
        followed=1,
        whole=cost,
        kept_float=(),
        layers=tuple(
            LayerRow(
                name=f"layer.{i}",
                operators=(f"conv2d_{i}",),
                alone=PrecisionCost(samples=1, sqnr_db=40.0 - i),
                inside_db=found,
                steps={"onnx": i},
            )
            for i, found in enumerate(inside_db)
        ),
    )


def test_where_the_runs_part_is_the_first_layer_below_the_limit():
    assert sensitivity(35.0, 19.0, 25.0, 10.0).first_diverged.name == "layer.1"
    assert sensitivity(35.0, None, 25.0).first_diverged is None
    assert sensitivity(35.0, 30.0).first_unequal("onnx").name == "layer.1"
    assert [row.name for row in sensitivity(1.0, 2.0).ranked] == ["layer.1", "layer.0"]


class Value(msgspec.Struct, forbid_unknown_fields=True):
    value: float


class Stop(msgspec.Struct, forbid_unknown_fields=True):
    stop: float
    bgColor: str  # the format's own name


class GraphNodeData(msgspec.Struct, forbid_unknown_fields=True):
    """As Model Explorer's node_data_builder.py describes it, as far as it is used here."""

    results: dict[str, Value]
    name: str
    gradient: list[Stop]


def test_the_node_data_are_what_model_explorer_reads_by_the_names_of_the_onnx_file(
    prepared, quantized, tmp_path
):
    import onnx

    losses = measure_alone(*prepared, SAMPLES, HELD)
    rows = [LayerRow(name=x.name, operators=x.operators, alone=x.cost) for x in losses]
    data = make_node_data(
        Sensitivity(
            stem="net_int8",
            calibration="",
            is_synthetic=True,
            followed=0,
            whole=losses[0].cost,
            kept_float=(),
            layers=tuple(rows),
        )
    )
    read = msgspec.convert(data, GraphNodeData)
    assert [stop.stop for stop in read.gradient] == [0, 1]  # both ends must be there
    get_format("onnx").write(quantized.program, tmp_path / "net.onnx", WriteOptions())
    graph = onnx.load(tmp_path / "net.onnx").graph
    made = {name for node in graph.node for name in node.output}
    assert set(read.results) <= made
    assert {n.output[0] for n in graph.node if n.op_type in ("Conv", "Gemm")} <= set(read.results)
