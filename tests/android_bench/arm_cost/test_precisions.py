"""What files of lower precision execute on a core that has the instructions for it."""

import pytest
import torch.nn.functional as F
from torch import nn

from export.formats import WriteOptions, get_format
from export.quantization.quantize import quantize
from tests.export.quantization.conftest import capture_simply, noise

SIDE, WIDTH = 12, 64
MACS = SIDE * SIDE * (16 * WIDTH + WIDTH * 8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By precision and format, a file of two convolutions with a hard-swish between."""
    shape = (1, 16, SIDE, SIDE)
    layers = nn.Conv2d(16, WIDTH, 1), nn.Conv2d(WIDTH, 8, 1)
    program = capture_simply(lambda x, a, b: b(F.hardswish(a(x))), shape, *layers)
    written = {}
    for precision in ("fp16", "int8"):
        made_of = quantize(program, noise(shape, 4)).program if precision == "int8" else program
        folder = tmp_path_factory.mktemp(precision)
        for kind in ("pte", "onnx", "tflite"):
            options = WriteOptions(
                identity={"precision": precision},
                made_from=folder / "net.onnx" if kind == "tflite" else None,
                delegation=False,
            )
            written[precision, kind] = folder / f"net.{kind}"
            get_format(kind).write(made_of, written[precision, kind], options)
    return written


@pytest.mark.parametrize("kind", ["pte", "tflite"])
def test_a_half_file_multiplies_in_half(count, files, kind):
    counts = count(files["fp16", kind], with_operators=False).counts
    assert counts.macs_fp32 == 0
    assert counts.macs_fp16 >= MACS  # hard-swish multiplies too


@pytest.mark.parametrize("kind", ["pte", "tflite"])
def test_an_8_bit_hard_swish_is_a_table(count, files, kind):
    counted = count(files["int8", kind])
    assert counted.counts.macs_dot >= MACS  # kernels fill up their tiles
    names = [operator.name.split(" (")[0] for operator in counted.operators]
    assert not {"HardSwish", "Multiply", "Add"} & set(names)
    (table,) = (o for o in counted.operators if o.name.startswith("Invalid Unary Op"))
    assert table.counts.instructions < SIDE * SIDE * WIDTH  # less than one an element
