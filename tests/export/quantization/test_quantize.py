"""A whole network: three files of the same integers, float or integer at their borders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.formats import WriteOptions, get_format
from export.graph.program import capture
from export.onnx_to_tflite import inspect
from export.passes import run_passes
from export.quantization.integer_reference import run_integers
from export.quantization.quantize import quantize
from pfd_models.errors import DataError, SpecError
from tests.export.quantization.conftest import capture_simply, make_writer, noise

SHAPE = (1, 3, 16, 16)


def unit(x, *layers):
    """A stem, a shuffled unit with a padded maximum, a gated one, and a head."""
    stem, branch, expand, down, up, project, head = layers
    x = F.relu(stem(x))
    a, b = x.chunk(2, 1)
    x = torch.cat([F.max_pool2d(a, 3, 1, 1), F.relu(branch(b))], 1)
    n, c, h, w = x.shape
    x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
    y = F.hardswish(expand(x))
    y = y * F.hardsigmoid(up(F.relu(down(F.adaptive_avg_pool2d(y, 1)))))
    return head((project(y) + x).mean((2, 3)))


def network():
    return capture_simply(
        unit,
        SHAPE,
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(8, 16, 1),
        nn.Conv2d(16, 4, 1),
        nn.Conv2d(4, 16, 1),
        nn.Conv2d(16, 8, 1),
        nn.Linear(8, 10),
    )


@pytest.mark.parametrize(
    ("function", "keep", "line"),
    [
        (lambda x, c: x.flatten(1), (), "^nothing of the network computes in 8 bits; build fp32"),
        (lambda x, c: torch.sigmoid(x), (), r"8 bits: sigmoid \(the delegates have no 8-bit"),
        (lambda x, c: c(x), ("layers.0",), r"^with layers\.0 in float nothing of the network"),
    ],
)
def test_a_network_that_would_have_no_integers_is_refused(function, keep, line):
    program = capture_simply(function, SHAPE, nn.Conv2d(3, 3, 3))
    with pytest.raises(SpecError, match=line):
        quantize(program, noise(SHAPE, 2), keep=keep)


def test_what_picks_and_converts_numbers_does_not_excuse_a_file_from_equal_bits():
    """Exporting a conversion leaves an assertion beside it, which computes nothing."""
    conv, image = nn.Conv2d(3, 5, 3), torch.arange(3 * 64, dtype=torch.uint8).view(1, 3, 8, 8)

    class Bytes(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv

        def forward(self, x):
            return self.conv(x.to(torch.float32)).mean((2, 3)).argmax(1).to(torch.int32)

    quantized = quantize(run_passes(capture(Bytes().eval(), (image,))), [(image,), (image // 2,)])
    assert quantized.rounds_nothing
    assert [line.split()[0] for line in quantized.kept_float] == ["to", "argmax", "to_1"]


def test_data_that_the_network_cannot_be_run_on_are_refused():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(4, 8), nn.Linear(8, 5)

        def forward(self, ids):
            return self.head(self.table(ids).mean(1))

    def samples(*numbers):
        return [(torch.tensor([[0, number]]),) for number in numbers]

    program = run_passes(capture(Table().eval(), samples(3)[0]))
    with pytest.raises(DataError, match="on the calibration data: index out of range"):
        quantize(program, samples(1, 4))


@pytest.mark.parametrize("limits", [(0.0, None), (-0.1, 0.2)])
def test_a_clamp_still_clamps_beside_values_beyond_its_limits(limits):
    """What is concatenated shares one scale, whose ends are not the clamp's."""
    layers = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    program = capture_simply(
        lambda x, c, d: torch.cat([c(x).clamp(*limits), d(x)], 1), SHAPE, *layers
    )
    quantized = quantize(program, noise(SHAPE, 4))
    (step,) = (affine.scale for affine in quantized.outputs)
    (found,) = run_integers(quantized.program, noise(SHAPE, 1, seed=1)[0])
    low, high = limits
    assert float(found[:, :4].min()) >= low - step / 2
    assert high is None or float(found[:, :4].max()) <= high + step / 2
    assert float(found[:, 4:].min()) < low - step


@pytest.mark.parametrize(
    "function",
    [
        lambda x, c: c(F.pad(x, (1, 1, 1, 1), value=0.5)),
        lambda x, c: F.pad(c(x), (1, 1, 1, 1), value=2.0) + 1.0,
        lambda x, c: c(F.pad(torch.sigmoid(c(x)), (1, 1, 1, 1), value=1.0)),
    ],
    ids=["an input", "a stored value", "a value in float"],
)
def test_the_reference_pads_with_a_number_as_the_graph_does(function):
    program = capture_simply(function, SHAPE, nn.Conv2d(3, 3, 3))
    quantized = quantize(program, noise(SHAPE, 4))
    (step,) = (affine.scale for affine in quantized.outputs)
    for sample in noise(SHAPE, 2, seed=1):
        ((found,), (expected,)) = (
            run_integers(quantized.program, sample), quantized.program.run(sample)
        )  # fmt: skip
        assert float((found - expected).abs().max()) < 1.5 * step


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def files(folder):
    return make_writer(folder)(network())


def test_the_three_files_compute_the_same_integers_in_one_delegate_each(files):
    for kind in ("pte", "tflite", "onnx"):
        assert np.array_equal(files.outputs[kind], files.reference), kind
    assert (files.delegates["pte"], files.delegates["tflite"]) == (1, 1)
    assert files.left == {"pte": [], "onnx": [], "tflite": []}
    assert not files.quantized.kept_float


def test_they_compute_what_the_float_network_computes_but_for_rounding(files):
    noise_power = np.square(files.reference - files.exact).sum()
    assert 10 * np.log10(np.square(files.exact).sum() / noise_power) > 25


def test_the_tflite_file_converts_at_its_borders_and_around_a_table_only(files, folder):
    ops = inspect((folder / "net.tflite").read_bytes()).ops
    assert ops["HARD_SWISH"] == 1
    assert (ops["QUANTIZE"], ops["DEQUANTIZE"]) == (2, 2)
    assert "RELU" not in ops


def test_integers_go_in_and_come_out_where_that_is_asked(write_all):
    files = write_all(network(), integer_io=True)
    for kind in ("pte", "tflite", "onnx"):
        assert files.outputs[kind].dtype == np.int8
        assert np.array_equal(files.outputs[kind], files.reference), kind
    image = files.quantized.inputs[0]
    assert files.written["pte"].inputs[0].dtype == "int8"
    assert files.written["onnx"].inputs[0].dtype == "uint8"
    assert files.written["onnx"].inputs[0].zero_point == image.zero_point + 128
    assert files.written["tflite"].inputs[0].dtype == "int8"


def test_what_no_kernel_computes_in_integers_stays_in_float_and_is_named(write_all):
    program = capture_simply(
        lambda x, a, b: b(a(x) * torch.sigmoid(a(x))), SHAPE, nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)
    )
    files = write_all(program)
    (line,) = files.quantized.kept_float
    assert "sigmoid" in line
    assert (files.delegates["pte"], files.delegates["tflite"]) == (1, 1)
    assert np.array_equal(files.outputs["pte"], files.outputs["tflite"])


def test_the_same_samples_give_the_same_network(files, write_all):
    again = write_all(network(), formats=())
    assert np.array_equal(files.reference, again.reference)
    other = write_all(network(), formats=(), samples=noise(SHAPE, 6, seed=9))
    assert not np.array_equal(files.reference, other.reference)


IN_FLOAT = {
    "a border of ones": (lambda x, c: F.pad(c(x), (0, 1, 1, 0), value=1.0), "pads with something"),
    "a square": (lambda x, c: c(x) * c(x), "one tensor"),
    "a softmax": (lambda x, c: F.relu(c(x).flatten(1).softmax(1) + 0.1), "no 8-bit kernel"),
}


@pytest.mark.parametrize("name", IN_FLOAT)
def test_every_format_computes_the_same_in_float(write_all, name):
    function, cause = IN_FLOAT[name]

    def square(x, c):
        y = c(x)
        return y * y

    function = square if name == "a square" else function
    files = write_all(capture_simply(function, SHAPE, nn.Conv2d(3, 4, 1)))
    assert any(cause in line for line in files.quantized.kept_float)
    span = np.abs(files.reference).max()
    for kind in ("pte", "tflite", "onnx"):
        assert np.abs(files.outputs[kind] - files.reference).max() <= span / 100, kind


class TwoInputs(nn.Module):
    """An image, a table of numbers and an index; two outputs, one of them of integers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.image, self.numbers = nn.Conv2d(3, 6, 3, stride=2), nn.Linear(5, 6)

    def forward(self, image, numbers):
        features = F.relu(self.image(image)).mean((2, 3)) + self.numbers(numbers)
        return features, features.argmax(1)


def test_several_inputs_and_an_output_of_integers(tmp_path):
    fed = [
        (torch.rand(1, 3, 9, 9), torch.randn(1, 5, generator=torch.Generator().manual_seed(i)))
        for i in range(6)
    ]
    program = run_passes(capture(TwoInputs().eval(), fed[0]))
    quantized = quantize(program, fed)
    assert [a is None for a in (*quantized.inputs, *quantized.outputs)] == [False] * 3 + [True]
    made = get_format("pte")
    made.write(quantized.program, tmp_path / "net.pte", WriteOptions())
    run = made.load(tmp_path / "net.pte")
    for sample in fed:
        features, best = run([x.numpy() for x in sample])
        expected = run_integers(quantized.program, sample)
        assert np.array_equal(features, expected[0].numpy())
        assert best == features.argmax(1)
