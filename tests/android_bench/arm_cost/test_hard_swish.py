"""What an 8-bit hard-swish executes: one look-up a byte, in both engines."""

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
    """By format, a file of two convolutions with a hard-swish between."""
    shape = (1, 16, SIDE, SIDE)
    layers = nn.Conv2d(16, WIDTH, 1), nn.Conv2d(WIDTH, 8, 1)
    program = capture_simply(lambda x, a, b: b(F.hardswish(a(x))), shape, *layers)
    integers = quantize(program, noise(shape, 4)).program
    folder = tmp_path_factory.mktemp("hard-swish")
    written = {}
    for kind in ("pte", "onnx", "tflite"):
        options = WriteOptions(
            identity={"precision": "int8"},
            made_from=written.get("onnx") if kind == "tflite" else None,
            delegation=False,
        )
        written[kind] = folder / f"net.{kind}"
        get_format(kind).write(integers, written[kind], options)
    return written


@pytest.mark.parametrize("kind", ["pte", "tflite"])
def test_an_8_bit_hard_swish_is_a_table(count, files, kind):
    counted = count(files[kind])
    assert counted.counts.macs_dot >= MACS  # kernels fill up their tiles
    names = [operator.name.split(" (")[0] for operator in counted.operators]
    assert not {"HardSwish", "Multiply", "Add"} & set(names)
    (table,) = (o for o in counted.operators if o.name.startswith("Invalid Unary Op"))
    assert table.counts.instructions < SIDE * SIDE * WIDTH  # less than one an element
