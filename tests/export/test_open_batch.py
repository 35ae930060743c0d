"""One request for a range of batches: every file takes any of them, and says so."""

import sys

import numpy as np
import pytest
import torch

from android_bench.campaign.bench import uploaded
from android_bench.campaign.contest import contests_of, find_files
from android_bench.devices.opening import DEVICES
from android_bench.harness.client import Schedule, run_block, verify
from android_bench.records import Rules
from export import BuildRequest, InputTensor, ModuleSource, ZooSource, make_artifacts
from export.build import main
from export.formats import get_format
from export.network.network import make_network
from export.network.user_factory import call_factory

FILE = """
import torch
from torch import nn


class Net(nn.Module):
    '''Slices, a channel shuffle, bilinear resizing, a class token and attention.'''

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 5)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, image, scale):
        left, right = self.conv(image).relu().chunk(2, 1)
        y = torch.cat([right, left], 1).unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
        y = nn.functional.interpolate(y, scale_factor=2, mode="bilinear").flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y * scale], 1)
        return self.head(self.attention(y, y, y, need_weights=False)[0][:, 0])

"""

BATCHES = (1, 2, 4, 7)
INPUTS = (
    InputTensor(shape=(1, 3, 8, 8), batch=(1, 7), name="image"),
    InputTensor(shape=(1, 1), name="scale"),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("open")
    (folder / "user_open.py").write_text(FILE)
    return ModuleSource(target="user_open:Net", inputs=INPUTS, search_path=str(folder))


@pytest.fixture(scope="module")
def manifest(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("artifacts")
    return make_artifacts(BuildRequest(source=source, out=out, pte_io="nhwc")).manifest


def test_every_file_takes_any_batch_of_the_range_in_one_delegate(manifest, source):
    torch.manual_seed(0)
    module = call_factory(source).eval()
    assert manifest.stem == "user_open_Net_1to7x3x8x8_1x1_fp32"
    assert manifest.missing_formats == ()
    for artifact in manifest.artifacts:
        assert artifact.delegates == (None if artifact.format == "onnx" else 1)
        assert artifact.leftovers == ()
        run = get_format(artifact.format).load(manifest.path(artifact))
        for batch in (*BATCHES, 1):
            fed = [torch.randn(batch, 3, 8, 8), torch.randn(1, 1)]
            (found,) = run([tensor.numpy() for tensor in fed])
            expected = module(*fed).detach().numpy()
            assert np.abs(found - expected).max() < 1e-5


def test_the_manifest_says_which_batches_each_tensor_takes(manifest):
    for artifact in manifest.artifacts:
        assert [spec.batch for spec in artifact.inputs] == [(1, 7), None]
        assert [spec.batch for spec in artifact.outputs] == [(1, 7)]
        assert [spec.shape[0] for spec in (*artifact.inputs, *artifact.outputs)] == [1, 1, 1]
        assert artifact.least_batch == 1
        # Eight of the least batch, one in the middle and the largest.
        assert artifact.parity.samples == 10


def test_the_onnx_file_calls_its_open_dimension_batch(manifest):
    import onnx

    graph = onnx.load(manifest.path(manifest.artifact("onnx"))).graph
    first = [info.type.tensor_type.shape.dim[0] for info in (*graph.input, *graph.output)]
    assert [dim.dim_param or dim.dim_value for dim in first] == ["batch", 1, "batch"]


def test_the_bench_measures_every_file_at_its_least_batch(manifest):
    device = DEVICES["host"]()
    quick = Schedule(iterations=3, warmup_iterations=1, warmup_seconds=0.0, timeout_seconds=60.0)
    contests = contests_of(find_files([str(manifest.folder / "*")]), device.harness.engines)
    assert [contest.engine for contest in contests] == ["executorch", "litert"]
    for contest in contests:
        with uploaded(device, contest, Rules(threads=1, seed=0)) as jobs:
            for job in jobs.values():
                assert verify(device.harness, job).passed
                result = run_block(device.harness, job, quick)
        assert [spec.shape[0] for spec in (*result.inputs, *result.outputs)] == [1, 1, 1]
        assert result.run.samples_ns.size == 3


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        (["0..4,3,8,8"], "'0..4' is no batch"),
        (["4..4,3,8,8"], "the batches 4..4 are none or one"),
        (["1..n,3,8,8"], "'1..n' is no batch"),
        (["1..4,3,8,8", "1..8,2"], "the batches 1..4 and 1..8 differ"),
        (["n,3,8,8"], "or 1..8,3,224,224 for any batch from 1 to 8"),
    ],
)
def test_a_range_that_is_none_is_one_line(inputs, line, capsys):
    assert main(["--module", "net:make", "--input", *inputs]) == 2
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_another_precision_with_a_range_is_refused(precision, tmp_path, capsys):
    argv = ["--model", "ghostnet", "--batch", "1..4", "--precision", precision]
    assert main([*argv, "--calibration", "synthetic", "--out", str(tmp_path)]) == 2
    assert f"{precision} files have one batch" in capsys.readouterr().err


def test_a_range_of_batches_of_the_zoo_is_in_the_name(tmp_path):
    source = ZooSource(model="shufflenetv2_x0_5", batch=2, largest_batch=6)
    network, _ = make_network(BuildRequest(source=source, out=tmp_path))
    assert network.stem == "shufflenetv2_x0_5_ours_cifar100_32_b2to6_fp32"
    assert (network.shapes, network.batches) == (((2, 3, 32, 32),), ((2, 6),))


def test_a_transposed_convolution_leaves_out_the_tflite_alone(tmp_path, monkeypatch):
    text = "from torch import nn\n\n\ndef make():\n    return nn.ConvTranspose2d(3, 2, 2, 2)\n"
    (tmp_path / "user_up.py").write_text(text)
    monkeypatch.setattr("sys.path", [*sys.path])
    inputs = (InputTensor(shape=(1, 3, 4, 4), batch=(1, 4)),)
    source = ModuleSource(target="user_up:make", inputs=inputs, search_path=str(tmp_path))
    manifest = make_artifacts(BuildRequest(source=source, out=tmp_path / "out")).manifest
    assert [a.format for a in manifest.artifacts] == ["onnx", "pte"]
    (missing,) = manifest.missing_formats
    assert missing.format == "tflite"
    assert "transpose_conv: a transposed convolution is told" in missing.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "variant"),
    [
        ("shufflenetv2", "ours"),
        ("mobilenetv3_large_set2", "efv2"),
        ("parc_mobilenetv2", "ours"),
        ("ghostnet", "orig"),
    ],
)
def test_every_family_takes_any_batch_and_is_evaluated_on_the_largest(model, variant, tmp_path):
    from export.evaluate import load_shipped

    source = ZooSource(model=model, variant=variant, largest_batch=5)
    request = BuildRequest(source=source, out=tmp_path)
    manifest = make_artifacts(request).manifest
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    for artifact in manifest.artifacts:
        assert artifact.delegates == (None if artifact.format == "onnx" else 1)
        scorer = load_shipped(manifest.path(artifact))
        assert scorer.batch_size == 5
        found = scorer.score(pixels)  # the last batch of a split, smaller than the others
        single = torch.cat([scorer.score(image[None]) for image in pixels])
        assert found.shape == (3, 100)
        assert torch.allclose(found, single, rtol=1e-4, atol=1e-6)
