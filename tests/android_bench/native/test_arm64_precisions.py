"""Files of lower precision on emulated arm64 cores: with half-precision and dot-product
instructions (Cortex-A76) and without (A72, A53)."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from android_bench.harness.client import Job, verify
from export.formats import WriteOptions, get_format
from export.graph.program import capture
from export.half.interpreter import run_in_half
from export.half.judge import MULTIPLE
from export.parity import relative_linf
from export.passes import run_passes
from export.quantization.integer_reference import run_integers
from export.quantization.quantize import quantize
from tests.export.quantization.conftest import noise
from tests.export.quantization.test_operators import OPERATORS, Every

each_core = pytest.mark.parametrize("core", ["cortex-a76", "cortex-a72", "cortex-a53"])
each_engine = pytest.mark.parametrize("engine", ["executorch", "litert"])


@dataclasses.dataclass(frozen=True)
class Files:
    """A network's files with samples as each engine reads them.

    Attributes:
        folder: Where they lie.
        outputs: How many the network has.
        expected: Of each sample, the outputs in PyTorch's layout.
    """

    folder: Path
    outputs: int
    expected: list[list[np.ndarray]]

    def distances(self, harness, engine, limit=1e9):
        """Run a file there and return each output's distance as a multiple of its largest."""
        suffix = {"executorch": "pte", "litert": "tflite"}[engine]
        job = Job(
            model=str(self.folder / f"net.{suffix}"),
            engine=engine,
            inputs=(str(self.folder / f"{suffix}_in.bin"),),
            expected=tuple(str(self.folder / f"{suffix}_out_{i}.bin") for i in range(self.outputs)),
            limit=limit,
        )
        return [output.relative_linf for output in verify(harness, job).outputs]


def write_files(folder, program, samples, expected, precision):
    """Write a program's files, and samples in the layout of each."""
    options = WriteOptions(identity={"precision": precision}, delegation=False)
    for kind in ("pte", "onnx", "tflite"):
        made_from = folder / "net.onnx" if kind == "tflite" else None
        get_format(kind).write(
            program, folder / f"net.{kind}", dataclasses.replace(options, made_from=made_from)
        )
    for kind, turn in (("pte", False), ("tflite", True)):
        _save(folder / f"{kind}_in.bin", [s.numpy() for (s,) in samples], turn)
        for i in range(len(expected[0])):
            _save(folder / f"{kind}_out_{i}.bin", [outputs[i] for outputs in expected], turn)
    return Files(folder=folder, outputs=len(expected[0]), expected=expected)


def _save(path, arrays, turn):
    stacked = np.stack(arrays).astype("<f4")
    if turn and stacked.ndim == 5:
        stacked = np.ascontiguousarray(stacked.transpose(0, 1, 3, 4, 2))
    path.write_bytes(stacked.tobytes())


# -- int8 --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def integers(tmp_path_factory):
    """Every operator that computes in integers, side by side."""
    torch.manual_seed(0)
    shape = (1, 5, 8, 8)
    program = run_passes(capture(Every(5).eval(), noise(shape, 1)[0]))
    quantized = quantize(program, noise(shape, 6))
    samples = noise(shape, 8, seed=1)
    expected = [[t.numpy() for t in run_integers(quantized.program, x)] for x in samples]
    folder = tmp_path_factory.mktemp("integers")
    return write_files(folder, quantized.program, samples, expected, "int8")


@each_core
@each_engine
def test_every_integer_operator_equals_the_reference_in_every_bit(cores, integers, core, engine):
    found = integers.distances(cores[core], engine, limit=0.0)
    assert dict(zip(OPERATORS, found, strict=True)) == dict.fromkeys(OPERATORS, 0.0)


# -- fp16 --------------------------------------------------------------------------------------


class Small(nn.Sequential):
    """Dense, depthwise and pointwise convolutions, an activation of each kind, and scores."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.Hardswish(),
            nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU6(),
            nn.Conv2d(32, 128, 1), nn.Hardsigmoid(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """The small network's files, and how far from its float64 run are: its half run, and by engine
    what computes in float with the weights of its file. LiteRT here is such a run.
    """
    torch.manual_seed(0)
    net, samples = Small().eval(), noise((1, 3, 16, 16), 8)
    program = run_passes(capture(net, samples[0]))
    wide = copy.deepcopy(net).double()
    with torch.no_grad():
        expected = [[wide(x.double()).numpy()] for (x,) in samples]
    files = write_files(tmp_path_factory.mktemp("halves"), program, samples, expected, "fp16")
    half = run_in_half(program, [[x.numpy()] for (x,) in samples])
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.copy_(parameter.half())
        rounded = [[wide(x.double()).numpy()] for (x,) in samples]
    load = get_format("tflite").load(files.folder / "net.tflite")
    here = [load([x.numpy()]) for (x,) in samples]
    half, wide, narrow = (max(map(relative_linf, expected, run)) for run in (half, rounded, here))
    return files, half, {"executorch": wide, "litert": narrow}


@each_core
@each_engine
def test_one_half_file_runs_on_every_core_within_its_limit(cores, halves, core, engine):
    files, half, _ = halves
    (found,) = files.distances(cores[core], engine)
    assert 0 < found <= MULTIPLE * half


@each_engine
def test_only_the_core_that_can_computes_in_half(cores, halves, engine):
    """Without the instructions, the same file computes in float32, from half weights."""
    files, _, in_float = halves
    weights_alone = in_float[engine]
    found = {core: files.distances(cores[core], engine)[0] for core in cores}
    assert found["cortex-a72"] == pytest.approx(weights_alone, rel=0.02)
    assert found["cortex-a53"] == pytest.approx(weights_alone, rel=0.02)
    assert found["cortex-a76"] > 1.5 * weights_alone
