"""What an 8-bit hard-swish executes: one look-up a byte, in both engines."""

import pytest
import torch.nn.functional as F
from torch import nn

from tests.export.quantization.conftest import capture_simply, make_writer

SIDE, WIDTH = 12, 64
MACS = SIDE * SIDE * (16 * WIDTH + WIDTH * 8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By format, a file of two convolutions with a hard-swish between."""
    shape = (1, 16, SIDE, SIDE)
    layers = nn.Conv2d(16, WIDTH, 1), nn.Conv2d(WIDTH, 8, 1)
    program = capture_simply(lambda x, a, b: b(F.hardswish(a(x))), shape, *layers)
    folder = tmp_path_factory.mktemp("hard-swish")
    make_writer(folder)(program)
    return {kind: folder / f"net.{kind}" for kind in ("pte", "tflite")}


@pytest.mark.parametrize("kind", ["pte", "tflite"])
def test_an_8_bit_hard_swish_is_a_table(count, files, kind):
    counted = count(files[kind])
    assert counted.counts.macs_dot >= MACS  # kernels fill up their tiles
    names = [operator.name.split(" (")[0] for operator in counted.operators]
    assert not {"HardSwish", "Multiply", "Add"} & set(names)
    (table,) = (o for o in counted.operators if o.name.startswith("Invalid Unary Op"))
    assert table.counts.instructions < SIDE * SIDE * WIDTH  # less than one an element
