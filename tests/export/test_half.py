"""Half precision through the whole build: what is published, said and refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from export import BuildRequest, load_manifest, make_artifacts
from export.build import main
from export.formats import get_format
from export.formats.tflite import read_identity
from export.graph.program import capture
from export.half.interpreter import require_range, run_in_half
from export.half.judge import HalfPrecision
from export.parity import make_reference
from export.request.calibration import CalibrationSource
from export.request.source import InputTensor, ModuleSource, ZooSource
from pfd_models import list_models
from pfd_models.errors import ModuleError, ParityError, SpecError

NET = """
import torch
from torch import nn


def make(scale=1.0):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.Hardswish(), nn.Conv2d(32, 256, 1), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 100),
    )
    net[2].weight.data *= scale
    return net
"""
PARAMETERS = 3 * 32 * 9 + 32 + 32 * 256 + 256 + 256 * 100 + 100


@pytest.fixture
def request_of(write_factory, tmp_path):
    def make(**options):
        source = write_factory("halved", NET, options.pop("factory", "make"))
        return BuildRequest(source=source, out=tmp_path / "out", precision="fp16", **options)

    return make


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The small network in half precision, in every format."""
    folder = tmp_path_factory.mktemp("half")
    (folder / "halved.py").write_text(NET)
    source = ModuleSource(
        target="halved:make", inputs=(InputTensor(shape=(1, 3, 8, 8)),), search_path=str(folder)
    )
    return make_artifacts(
        BuildRequest(source=source, out=folder / "out", precision="fp16")
    ).manifest


@pytest.mark.parametrize("kind", ["pte", "onnx", "tflite"])
def test_a_file_is_half_as_large_with_float_ends_and_one_delegate(built, kind):
    artifact = built.artifact(kind)
    assert artifact.precision == "fp16"
    assert artifact.file.split(".")[0].removesuffix("_xnnpack").endswith("_fp16")
    assert 2 * PARAMETERS < artifact.size_bytes < 2.3 * PARAMETERS
    assert artifact.inputs[0].dtype == artifact.outputs[0].dtype == "float32"
    assert (artifact.delegates, artifact.leftovers) in ((None, ()), (1, ()))


@pytest.mark.parametrize("kind", ["pte", "onnx", "tflite"])
def test_the_manifest_says_what_it_costs_and_what_a_device_may_lose(built, kind):
    again = load_manifest(built.folder / f"{built.stem}.json")
    artifact = again.artifact(kind)
    assert artifact.cost.data == "parity inputs (standard normal noise)"
    assert (artifact.cost.samples, artifact.cost.agreement) == (8, 1.0)
    assert 40 < artifact.cost.sqnr_db < 80
    if kind == "onnx":  # which computes in float32 everywhere
        assert artifact.cost.arm_sqnr_db is None
    else:
        assert 40 < artifact.cost.arm_sqnr_db <= artifact.cost.sqnr_db + 1
    assert artifact.parity.limit == pytest.approx(
        max(2**-9, 4 * artifact.parity.eager_relative_linf)
    )
    assert 1e-5 < artifact.parity.relative_linf < artifact.parity.limit


def test_the_tflite_file_asks_for_half_arithmetic(built):
    path = built.path(built.artifact("tflite"))
    assert read_identity(path)["reduced_precision_support"] == "fp16accfp16"


def test_the_onnx_file_computes_in_float32_with_half_weights(built):
    path = built.path(built.artifact("onnx"))
    model = onnx.load(str(path))
    kinds = {i.name: i.data_type for i in model.graph.initializer}
    casts = [n for n in model.graph.node if n.op_type == "Cast"]
    assert [kinds[n.input[0]] for n in casts] == [onnx.TensorProto.FLOAT16] * 6
    sample = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype("float32")
    torch.manual_seed(0)
    scope: dict[str, object] = {}
    exec(NET, scope)
    net = scope["make"]().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(parameter.half().float())
        expected = net(torch.from_numpy(sample)).numpy()
    (found,) = get_format("onnx").load(path)([sample])
    assert np.abs(found - expected).max() < 1e-6


def test_its_cost_is_measured_on_calibration_data_where_there_are_some(request_of, tmp_path):
    images = np.random.default_rng(0).random((12, 3, 8, 8), np.float32)
    np.savez(tmp_path / "fed.npz", input_0=images, labels=np.arange(12))
    fed = CalibrationSource(kind="npz", place=str(tmp_path / "fed.npz"))
    manifest = make_artifacts(request_of(calibration=fed, formats=("onnx",))).manifest
    cost = manifest.artifact("onnx").cost
    assert (cost.data, cost.samples) == ("held samples (arrays of fed.npz)", 3)
    assert cost.top1 == cost.float_top1


def test_half_files_of_open_batch_are_refused(request_of):
    request = request_of(formats=("pte",))
    (tensor,) = request.source.inputs
    tensor = dataclasses.replace(tensor, batch=(1, 4))
    source = dataclasses.replace(request.source, inputs=(tensor,))
    with pytest.raises(SpecError, match="fp16 files have one batch"):
        dataclasses.replace(request, source=source)


def test_a_network_whose_values_overflow_is_refused_by_its_layers_name(request_of, tmp_path):
    message = r"^the output of '2' reaches \d\S+, half precision ends at 65504; leave fp16 out"
    with pytest.raises(ModuleError, match=message) as caught:
        make_artifacts(request_of(factory="make(scale=200000.0)"))
    assert len(str(caught.value).splitlines()) == 1
    assert not list((tmp_path / "out").glob("*.*"))


class Sums(nn.Module):
    """Its terms pass the largest half number, its result does not."""

    def __init__(self, weights):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 2, bias=False))
        self.inner[0].weight.data = torch.tensor([weights, [1.0, 1.0, 1.0, 1.0]])

    def forward(self, x):
        return self.inner(x)


def one_program(module):
    return capture(module.eval(), (torch.ones(1, 4),))


def test_a_weight_beyond_half_is_refused_by_its_name():
    with pytest.raises(ModuleError, match=r"^the weight 'inner.0.weight' reaches 7e\+04"):
        require_range(one_program(Sums([7e4, 0.0, 0.0, 0.0])), [[np.ones((1, 4), "float32")]])


def test_a_sum_that_passes_the_largest_half_number_on_its_way_is_refused():
    program = one_program(Sums([6e4, 6e4, -6e4, -6e4]))
    sample = [np.ones((1, 4), "float32")]
    require_range(program, [sample])
    with pytest.raises(ModuleError, match="reaches more than that in a sum"):
        run_in_half(program, [sample])


def test_the_half_run_adds_up_in_half_from_the_bias_on():
    """2049 is no half number: 2048 + 1 is 2048 each time, and what comes first decides."""
    layer = nn.Linear(4, 1)
    layer.weight.data, layer.bias.data = torch.ones(1, 4), torch.tensor([2048.0])
    (found,) = run_in_half(one_program(layer), [[np.ones((1, 4), "float32")]])
    assert found[0].tolist() == [[2048.0]]
    layer.bias.data = torch.tensor([0.0])
    fed = np.array([[1, 1, 1, 2048]], "float32")
    (found,) = run_in_half(one_program(layer), [[fed]])
    assert found[0].tolist() == [[2052.0]]  # 2051 lies between 2050 and 2052: to the even one


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_where_nothing_is_rounded_the_half_run_is_the_convolution(groups):
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 12, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=groups)
    for parameter in layer.parameters():
        parameter.data = torch.randint(-2, 3, parameter.shape).float()
    x = torch.randint(-3, 4, (2, 6, 9, 8)).float()
    (found,) = run_in_half(capture(layer.eval(), (x,)), [[x.numpy()]])
    assert np.array_equal(found[0], layer(x).detach().numpy())


def judge_of(relative_linf, sqnr_db):
    """A judge of a network that returns ten times its input's mean."""
    samples = [[np.full((1, 4), value, "float32")] for value in (1.0, 2.0, -1.0)]

    class Scale(nn.Module):
        def forward(self, x):
            return 10 * x[:, :2]

    reference = make_reference(Scale(), samples)
    exact = [[10 * s[0][:, :2]] for s in samples]
    return HalfPrecision(
        reference=reference, relative_linf=relative_linf, sqnr_db=sqnr_db, unequal=0.0,
        held=samples, exact=exact, labels=(), data="parity inputs", arm_sqnr_db=30.0,
    )  # fmt: skip


def off_by(share):
    return lambda sample: [10 * (1 + share) * sample[0][:, :2]]


def test_a_file_may_lose_four_times_what_the_half_run_loses_and_no_more():
    judge = judge_of(relative_linf=0.01, sqnr_db=40.0)
    parity, cost = judge.judge(off_by(0.039), what="net.pte", kind="pte")
    assert parity.relative_linf == pytest.approx(0.039)
    assert parity.limit == pytest.approx(0.04)
    assert cost.sqnr_db == pytest.approx(-20 * np.log10(0.039))
    with pytest.raises(ParityError, match=r"^net.pte does not compute .* in half precision"):
        judge.judge(off_by(0.041), what="net.pte", kind="pte")


def test_a_few_roundings_are_never_held_against_a_file():
    judge = judge_of(relative_linf=0.0, sqnr_db=240.0)
    assert judge.judge(off_by(2**-9.1), what="net.pte", kind="pte")[0].limit == 2**-9
    with pytest.raises(ParityError):
        judge.judge(off_by(2**-8.9), what="net.pte", kind="pte")


def test_whole_numbers_may_differ_where_those_of_the_half_run_do():
    samples = [[np.arange(200, dtype="float32").reshape(1, 200)]]

    class Order(nn.Module):
        def forward(self, x):
            return x.argsort(1)

    judge = dataclasses.replace(
        judge_of(relative_linf=0.0, sqnr_db=240.0),
        reference=make_reference(Order(), samples),
        unequal=0.01, held=samples, exact=[[np.arange(200)[None]]],
    )  # fmt: skip

    def swap(count):
        return lambda sample: [np.r_[np.full(count, -1), np.arange(200)[count:]][None]]

    judge.judge(swap(8), what="net.pte", kind="pte")
    with pytest.raises(ParityError, match=r"4\.5% of whole numbers differ"):
        judge.judge(swap(9), what="net.pte", kind="pte")


def test_values_that_are_not_finite_or_another_shape_fail():
    judge = judge_of(relative_linf=0.01, sqnr_db=40.0)
    for run in (off_by(float("nan")), lambda sample: [sample[0]]):
        with pytest.raises(ParityError, match="shapes"):
            judge.judge(run, what="net.pte", kind="pte")


def test_a_backend_without_half_precision_says_which_it_has(request_of):
    message = r"^backend 'portable' has no fp16; it takes fp32"
    with pytest.raises(SpecError, match=message):
        make_artifacts(request_of(backend="portable", formats=("pte",)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "fp16", "io": "int8"}, "integer inputs go with precision int8"),
        ({"precision": "half"}, "unknown precision 'half'"),
    ],
)
def test_what_no_build_can_satisfy_is_refused(request_of, options, said):
    with pytest.raises(SpecError, match=said):
        dataclasses.replace(request_of(), **options)


def test_the_command_line_says_what_fp16_takes(capsys):
    arguments = ["--model", "shufflenetv2", "--precision", "fp32,fp16", "--io", "int8"]
    assert main(arguments) == 2
    assert capsys.readouterr().err == "error: --io int8 goes with --precision int8\n"


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["orig", "ours"])
@pytest.mark.parametrize("model", list_models())
def test_half_spares_every_network_two_bytes_a_weight_and_has_one_delegate(
    model, variant, tmp_path
):
    """What describes the graph is as large in both: much of a file of 110 small layers."""
    source = ZooSource(model=model, variant=variant)
    manifest, whole = (
        make_artifacts(BuildRequest(source=source, out=tmp_path, precision=precision)).manifest
        for precision in ("fp16", "fp32")
    )
    for kind in ("pte", "onnx", "tflite"):
        artifact = manifest.artifact(kind)
        spared = whole.artifact(kind).size_bytes - artifact.size_bytes
        # .onnx and .tflite cast each weight back by an operator of its own, some 150 bytes.
        assert spared > (1.9 if kind == "pte" else 1.7) * manifest.params, kind
        assert (artifact.delegates, artifact.leftovers) == (None if kind == "onnx" else 1, ()), kind
