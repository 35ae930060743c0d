"""Int8 sets through the whole build: what is published, said and refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from export import BuildRequest, load_manifest, make_artifacts
from export.build import main
from export.cli.progress import print_results
from export.cli.workers import Outcome
from export.pipeline import BuildResult
from export.quantization.simplify import push_factors
from export.request.calibration import CalibrationSource
from pfd_models.errors import DataError, ParityError, SpecError, WeightsError

pytestmark = pytest.mark.usefixtures("in_process_builds")

NET = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Hardswish(), nn.Conv2d(8, 8, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )


class Border(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

    def forward(self, x):
        x = nn.functional.pad(self.first(x) / 6, (1, 1, 1, 1), value=3.0)
        return self.last(x).mean((2, 3))


class Nan(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5))
        self[0].weight.data[0, 0, 0, 0] = float("nan")
"""

OUTLIER = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.middle = nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 8, 1, bias=False)
        self.head = nn.Linear(8, 5, bias=False)
        self.stem.weight.data[:, 0] /= 10_000

    def forward(self, x):
        return self.head(self.middle(self.stem(x).relu()).mean((2, 3)))
"""


INT8 = ["--precision", "int8", "--calibration", "fed.npz"]


@pytest.fixture
def request_of(write_factory, tmp_path):
    """A request of the small network, calibrated on an .npz of uniform numbers with labels."""
    images = np.random.default_rng(0).random((12, 3, 8, 8), np.float32)
    np.savez(tmp_path / "fed.npz", input_0=images, labels=np.arange(12) % 5)
    fed = CalibrationSource(kind="npz", place=str(tmp_path / "fed.npz"))

    def make(**options):
        return BuildRequest(
            source=write_factory("net", NET, options.pop("factory", "make")),
            out=tmp_path / "out",
            **{"precision": "int8", "calibration": fed, **options},
        )

    return make


def test_a_set_says_how_it_was_calibrated_and_what_it_cost(request_of, tmp_path):
    manifest = make_artifacts(request_of()).manifest
    assert manifest == load_manifest(tmp_path / "out" / f"{manifest.stem}.json")
    assert manifest.stem.endswith("_int8")
    record = manifest.quantization
    assert (record.calibration, record.is_synthetic) == ("arrays of fed.npz", False)
    assert (record.samples, record.seed, record.kept_float) == (9, 0, ())
    assert record.inputs[0][0] == pytest.approx(1 / 255, rel=0.01)
    assert [value.module for value in record.values] == ["0", "1", "2", "3", "5"]
    assert (record.keep_float, record.loss_limit, record.float_prices) == ((), None, ())
    for artifact in manifest.artifacts:
        assert artifact.precision == "int8"
        assert artifact.inputs[0].dtype == artifact.outputs[0].dtype == "float32"
        assert artifact.cost.samples == 3
        assert artifact.cost.sqnr_db > 20
        assert artifact.cost.top1 is not None
        assert (artifact.delegates, artifact.leftovers) in ((None, ()), (1, ()))
        assert artifact.size_bytes < 20_000
    bits = {a.format: a.parity.relative_linf for a in manifest.artifacts}
    assert (bits["pte"], bits["tflite"]) == (0.0, 0.0)


def test_a_rewrite_before_quantising_that_changes_the_network_stops_the_build(
    request_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(push_factors, "_adds_numbers", lambda node: False)
    with pytest.raises(ParityError, match=r"the graph rewrites \(.*push_factors.*\) moved"):
        make_artifacts(request_of(factory="Border", formats=("onnx",)))
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_the_reference_is_what_the_files_compute_within_two_of_their_steps(request_of):
    """As a bench verifies them, whose limit is the manifest's."""
    manifest = make_artifacts(request_of(formats=("tflite",))).manifest
    stored = np.load(manifest.path(manifest.reference))
    assert stored["input_0"].dtype == stored["output_0"].dtype == np.float32
    limit = manifest.artifact("tflite").parity.limit
    step = manifest.quantization.outputs[0][0]
    assert limit == pytest.approx(2 * step / np.abs(stored["output_0"]).max(), rel=0.5)


def test_integer_inputs_and_outputs_say_what_they_stand_for(request_of):
    manifest = make_artifacts(request_of(io="int8", formats=("tflite",))).manifest
    assert manifest.stem.endswith("_int8io")
    image = manifest.artifact("tflite").inputs[0]
    assert (image.dtype, image.scale, image.zero_point) == (
        "int8",
        *manifest.quantization.inputs[0],
    )
    onnx = manifest.artifact("onnx").inputs[0]
    assert (onnx.dtype, onnx.zero_point) == ("uint8", image.zero_point + 128)


def test_float_and_int8_are_sets_beside_each_other_of_one_command(
    request_of, tmp_path, monkeypatch, capfd
):
    request_of()
    monkeypatch.chdir(tmp_path)
    command = ["--module", "net:make", "--input", "1,3,8,8", "--formats", "onnx", "--jobs", "1"]
    both = [*command, "--precision", "fp32,int8", "--calibration", "fed.npz", "--out", "out"]
    assert main(both) == 0
    told = capfd.readouterr().out
    assert "dB SQNR" in told
    assert "calibrated on 9 samples: arrays of fed.npz" in told
    stems = sorted(json.loads(p.read_text())["stem"] for p in (tmp_path / "out").glob("[!.]*.json"))
    assert [s.rpartition("_")[2] for s in stems] == ["fp32", "int8"]
    assert main(both) == 0
    assert "2 unchanged" in capfd.readouterr().out


def test_noise_is_marked(request_of):
    noise = CalibrationSource(kind="synthetic", count=4)
    manifest = make_artifacts(request_of(calibration=noise, formats=("onnx",))).manifest
    assert manifest.quantization.is_synthetic
    assert manifest.quantization.calibration == "SYNTHETIC NOISE"


def test_what_is_kept_in_float_stands_in_the_manifest_with_its_price(request_of, capfd):
    request = request_of(keep_float=("5",))
    manifest = make_artifacts(request).manifest
    record = manifest.quantization
    assert record.keep_float == ("5",)
    assert record.kept_float == ("linear (linear.default): kept in float as asked",)
    assert [value.module for value in record.values] == ["0", "1", "2", "3"]
    delegates = {price.format: price.delegates for price in record.float_prices}
    assert delegates == {"onnx": None, "pte": 1, "tflite": 1}
    for price in record.float_prices:
        artifact = manifest.artifact(price.format)
        assert artifact.delegates == price.delegates  # the layer is in the same delegate
        assert artifact.size_bytes != price.size_bytes  # of so small a layer, either way
        assert 0.01 < price.time_ratio < 100
    print_results(
        [Outcome(request=request, result=BuildResult(manifest=manifest, made=(), seconds=1))], (), 1
    )
    told = capfd.readouterr().out
    assert "what was kept in float costs" in told
    assert "1 delegates instead of 1" in told


def test_an_input_that_only_a_layer_in_float_reads_is_float_where_others_are_integers(request_of):
    request = request_of(keep_float=("0",), io="int8", formats=("tflite",))
    manifest = make_artifacts(request).manifest
    artifact = manifest.artifact("tflite")
    assert (artifact.inputs[0].dtype, artifact.outputs[0].dtype) == ("float32", "int8")
    assert {price.format for price in manifest.quantization.float_prices} == {"onnx", "tflite"}


def test_a_limit_of_the_loss_says_what_it_kept(request_of):
    manifest = make_artifacts(request_of(max_loss=60.0, formats=("onnx",))).manifest
    limit = manifest.quantization.loss_limit
    assert (limit.max_loss, limit.counts, limit.layers) == (60.0, "top-1", ())
    assert limit.samples == 9  # none is spare, so those of the calibration choose


def test_the_layer_that_an_outlier_spoils_stays_in_float(
    write_factory, tmp_path, monkeypatch, capfd
):
    """One channel of the image is a thousand times the others, which decide the class."""
    write_factory("outlier", OUTLIER)
    draw = np.random.default_rng(0).standard_normal
    images = draw((96, 3, 1, 1)) + 0.1 * draw((96, 3, 8, 8))
    images[:, 0] *= 1000
    np.savez(tmp_path / "fed.npz", input_0=images.astype(np.float32))
    monkeypatch.chdir(tmp_path)
    command = ["--module", "outlier:Net", "--input", "1,3,8,8", "--formats", "tflite"]
    assert main([*command, *INT8, "--max-loss", "5"]) == 0
    assert "to lose at most 5 points of top-1 agreement" in capfd.readouterr().out
    (path,) = (tmp_path / "artifacts").glob("*_int8.json")
    manifest = load_manifest(path)
    limit = manifest.quantization.loss_limit
    assert limit.layers == ("stem",)
    assert limit.loss_without > 20
    assert limit.loss <= 5
    artifact = manifest.artifact("tflite")
    assert artifact.delegates == 1
    assert artifact.cost.agreement >= 0.9


def test_other_calibration_data_make_another_set(request_of):
    request = request_of()
    fewer = dataclasses.replace(request.calibration, count=2)
    keys = {
        request.request_key(),
        dataclasses.replace(request, calibration=fewer).request_key(),
        dataclasses.replace(request, io="int8").request_key(),
        dataclasses.replace(request, precision="fp32", calibration=None).request_key(),
        dataclasses.replace(request, keep_float=("5",)).request_key(),
        dataclasses.replace(request, max_loss=0.5).request_key(),
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--precision", "int4"], "unknown precision 'int4': did you mean 'int8'"),
        (["--precision", "int8"], "needs --calibration: give a folder of images"),
        (["--calibration", "synthetic"], "goes with --precision int8"),
        (["--io", "int8"], "goes with --precision int8"),
        (["--keep-float", "5"], "go with --precision int8"),
        (["--max-loss", "0.5"], "go with --precision int8"),
        (["--sensitivity"], "go with --precision int8"),
        ([*INT8, "--max-loss", "-1"], "--max-loss -1 is no loss in percentage points"),
        ([*INT8, "--max-loss", "nan"], "--max-loss nan is no loss in percentage points"),
        ([*INT8, "--keep-float", "6"], "unknown layer '6': did you mean"),
        ([*INT8, "--keep-float", "3"], "--keep-float 3: between integers it computes in"),
        ([*INT8, "--backend", "portable"], "no int8"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    request_of, tmp_path, monkeypatch, capfd, options, line
):
    request_of()
    monkeypatch.chdir(tmp_path)
    command = ["--module", "net:make", "--input", "1,3,8,8", "--jobs", "1", "--out", "out"]
    assert main([*command, *options]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert line in error
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_weights_that_are_not_numbers_are_refused(request_of, tmp_path):
    with pytest.raises(WeightsError, match=r"'0\.weight' holds NaN in 1 of its 216 values"):
        make_artifacts(request_of(factory="Nan", formats=("onnx",)))
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_a_request_cannot_lack_its_calibration(request_of):
    with pytest.raises(SpecError, match="needs --calibration"):
        request_of(calibration=None)
    missing = request_of(calibration=CalibrationSource(kind="npz", place="nowhere.npz"))
    with pytest.raises(DataError, match="cannot be read"):
        missing.request_key()
