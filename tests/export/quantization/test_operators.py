"""Every operator that computes in integers: both host runtimes against the integer reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from export.formats import WriteOptions, get_format
from export.graph.program import capture
from export.passes import run_passes
from export.quantization.integer_reference import run_integers
from export.quantization.quantize import quantize
from tests.export.quantization.conftest import Call, capture_simply, noise


def conv(channels, kernel, **options):
    return nn.Conv2d(channels, 7, kernel, **options)


# By operator: a function of the input and its layers, and the layers for a number of channels.
OPERATORS = {
    "convolution": (lambda x, c: c(x), lambda n: [conv(n, 3, stride=2, padding=1)]),
    "depthwise convolution and relu": (
        lambda x, c: F.relu(c(x)),
        lambda n: [nn.Conv2d(n, n, 3, padding=1, groups=n)],
    ),
    "grouped convolution": (lambda x, c: c(x), lambda n: [nn.Conv2d(n, 2 * n, 1, groups=n)]),
    "linear layer": (lambda x, c: c(x.mean((2, 3))), lambda n: [nn.Linear(n, 9)]),
    "sum and relu6": (
        lambda x, a, b: F.relu6(a(x) + b(x)),
        lambda n: [conv(n, 1), conv(n, 1)],
    ),
    "sum with a number": (lambda x, c: c(x) - 0.5, lambda n: [conv(n, 1)]),
    "product with a gate": (
        lambda x, a, b: a(x) * F.hardsigmoid(b(x.mean((2, 3), keepdim=True))),
        lambda n: [conv(n, 1), conv(n, 1)],
    ),
    "hard-swish": (lambda x, c: F.hardswish(c(x)), lambda n: [conv(n, 1)]),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), lambda n: []),
    "padded maximum": (lambda x, c: F.max_pool2d(c(x), 3, 2, 1), lambda n: [conv(n, 1)]),
    "average": (lambda x: F.avg_pool2d(x, 2), lambda n: []),
    "concatenation and slice": (
        lambda x, c: torch.cat([c(x), x], 1)[:, 1:-1],
        lambda n: [conv(n, 1)],
    ),
    "clamp behind a concatenation": (
        lambda x, c: F.relu(torch.cat([c(x), x], 1)),
        lambda n: [conv(n, 1)],
    ),
    "border on one side": (
        lambda x, c: c(F.pad(x, (0, 1, 0, 1))),
        lambda n: [conv(n, 3, stride=2)],
    ),
    "border on one side of pools": (
        lambda x, c: F.avg_pool2d(
            F.pad(F.max_pool2d(F.pad(F.relu(c(x)), (0, 1, 0, 1)), 3, 2), (1, 0, 1, 0)), 3, 1
        ),
        lambda n: [conv(n, 1)],
    ),
    "ReLU beside what is negative": (
        lambda x, c, d: torch.cat([F.relu(c(x)), d(x)], 1),
        lambda n: [conv(n, 3), conv(n, 3)],
    ),
    "one convolution with two scales": (lambda x, c: F.relu(c(x)) + c(x), lambda n: [conv(n, 3)]),
    "convolution of signals": (
        lambda x, c: F.relu(c(x.flatten(2))),
        lambda n: [nn.Conv1d(n, 4, 3, stride=2, padding=1)],
    ),
    "convolution padded by a word": (
        lambda x, c: F.relu(c(x)),
        lambda n: [nn.Conv2d(n, 4, 3, padding="same", dilation=2)],
    ),
    "batch norm of its own": (lambda x, b: F.relu(b(x)), lambda n: [nn.BatchNorm2d(n)]),
}


def check(write_all, name, channels, side):
    function, layers = OPERATORS[name]
    program = capture_simply(function, (1, channels, side, side), *layers(channels))
    files = write_all(program)
    for kind in ("pte", "tflite"):
        assert np.array_equal(files.outputs[kind], files.reference), kind
        assert (files.delegates[kind], files.left[kind]) == (1, []), kind
    assert not files.quantized.kept_float


class Every(nn.Module):
    """All operators side by side, each an output of one network."""

    def __init__(self, channels):
        super().__init__()
        self.parts = nn.ModuleList(
            Call(function, *layers(channels)) for function, layers in OPERATORS.values()
        )

    def forward(self, x):
        return tuple(part(x) for part in self.parts)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """By runtime, the outputs of all operators for some samples, and what was written."""
    torch.manual_seed(0)
    shape = (1, 5, 8, 8)
    program = run_passes(capture(Every(5).eval(), noise(shape, 1)[0]))
    quantized = quantize(program, noise(shape, 6))
    samples = noise(shape, 8, seed=1)
    found = {"reference": [run_integers(quantized.program, x) for x in samples]}
    folder, written = tmp_path_factory.mktemp("every"), {}
    for kind in ("pte", "onnx", "tflite"):
        made, path = get_format(kind), folder / f"net.{kind}"
        options = WriteOptions(made_from=folder / "net.onnx" if made.NEEDS else None)
        written[kind] = made.write(quantized.program, path, options)
        run = made.load(path)
        found[kind] = [run([x.numpy()]) for (x,) in samples]
    return found, written, quantized.kept_float


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("runtime", ["pte", "tflite"])
def test_both_runtimes_compute_what_the_integer_reference_computes(every, runtime, name):
    index = list(OPERATORS).index(name)
    expected, found = (
        np.stack([sample[index] for sample in every[0][kind]]) for kind in ("reference", runtime)
    )
    assert np.array_equal(found, expected)
    assert len(np.unique(expected)) > 20


def test_every_operator_is_in_the_delegate_and_none_in_float(every):
    _, written, kept_float = every
    for kind in ("pte", "tflite"):
        assert (written[kind].delegates, written[kind].leftovers) == (1, ())
    assert not kept_float


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(channels=st.integers(2, 40), side=st.integers(4, 15))
def test_they_do_for_any_shape(write_all, name, channels, side):
    check(write_all, name, channels, side)


def test_a_mean_that_nearly_ends_in_a_half_rounds_as_the_runtimes_do(tmp_path):
    """Found in GhostNet: 3559 steps over 225 pixels are 168.50007, and both runtimes say 168."""
    source, result, pixels, total = (
        (0.026470467448234558, -128),
        (0.0024848890025168657, -128),
        15,
        3559,
    )
    call = Call(lambda x: x.mean((2, 3), keepdim=True))
    program = run_passes(capture(call.eval(), noise((1, 1, pixels, pixels), 1)[0]))
    quantized = quantize(program, noise((1, 1, pixels, pixels), 2), integer_io=True)
    scales = {quantized.inputs[0].scale: source, quantized.outputs[0].scale: result}
    for node in quantized.program.exported.graph.nodes:
        if "quantize_per_tensor" in str(node.target):
            node.args = (node.args[0], *scales[node.args[1]], *node.args[3:])
    quantized.program.exported.graph_module.recompile()
    image = np.full(pixels**2, total // pixels**2 + source[1], np.int8)
    image[: total % pixels**2] += 1
    image = image.reshape(1, 1, pixels, pixels)
    (expected,) = run_integers(quantized.program, [torch.from_numpy(image)])
    assert expected.item() == 168 + result[1]
    for kind in ("pte", "onnx", "tflite"):
        made, path = get_format(kind), tmp_path / f"net.{kind}"
        options = WriteOptions(made_from=tmp_path / "net.onnx" if made.NEEDS else None)
        made.write(quantized.program, path, options)
        if kind != "onnx":
            assert made.load(path)([image])[0].item() == expected.item()


@pytest.mark.parametrize("scale", [0.011, 0.0471, 0.1173])
def test_a_table_has_the_entries_that_the_runtimes_make(tmp_path, scale):
    """Each integer under eight scales of the result."""
    count = 8
    call = Call(lambda x: tuple(F.hardswish(part) for part in x.chunk(count, 1)))
    shape = (1, count, 16, 16)
    program = run_passes(capture(call.eval(), noise(shape, 1)[0]))
    quantized = quantize(program, noise(shape, 2), integer_io=True)
    results = iter(np.random.default_rng(0).uniform(0.3, 1.2, count) * scale)
    for node in quantized.program.exported.graph.nodes:
        if "quantize_per_tensor" in str(node.target):
            behind_a_table = "hardswish" in str(getattr(node.args[0], "target", ""))
            numbers = (float(np.float32(next(results))), -100) if behind_a_table else (scale, -20)
            node.args = (node.args[0], *numbers, *node.args[3:])
    quantized.program.exported.graph_module.recompile()
    image = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 16, 16).repeat(count, 1)
    expected = run_integers(quantized.program, [torch.from_numpy(image)])
    assert len({tuple(t.flatten().tolist()) for t in expected}) == count
    for kind in ("pte", "onnx", "tflite"):
        made, path = get_format(kind), tmp_path / f"net.{kind}"
        options = WriteOptions(made_from=tmp_path / "net.onnx" if made.NEEDS else None)
        made.write(quantized.program, path, options)
        if kind != "onnx":
            found = made.load(path)([image])
            assert all(map(np.array_equal, found, [t.numpy() for t in expected])), kind
