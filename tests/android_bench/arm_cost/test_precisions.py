"""Counts of float16 and int8 files: what computes is told by its precision."""

import pytest

from export import BuildRequest, make_artifacts
from export.request.calibration import parse_calibration
from export.request.source import InputTensor, ModuleSource

SIDE = 12  # its square is a multiple of the rows that kernels take at once
CHANNELS = (16, 32, 64)  # multiples of the columns that they take, and of the four of a dot product
MACS = SIDE**2 * (16 * 32 + 32 * 64)

NET = """
from torch import nn


def make():
    return nn.Sequential(nn.Conv2d(16, 32, 1), nn.Conv2d(32, 64, 1))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The path of the network's file of an engine, in a precision."""
    folder = tmp_path_factory.mktemp("precisions")
    (folder / "pointwise.py").write_text(NET)
    shape = InputTensor(shape=(1, CHANNELS[0], SIDE, SIDE))
    source = ModuleSource(target="pointwise:make", inputs=(shape,), search_path=str(folder))
    made = {}

    def built(precision, suffix):
        if precision not in made:
            request = BuildRequest(
                source=source,
                out=folder / precision,
                precision=precision,
                formats=("pte", "tflite"),
                calibration=parse_calibration("synthetic") if precision == "int8" else None,
            )
            make_artifacts(request)
            made[precision] = folder / precision
        return next(made[precision].glob(f"*{suffix}"))

    return built


@pytest.mark.parametrize("suffix", [".pte", ".tflite"])
def test_a_float16_file_multiplies_in_half_precision_and_in_no_other(built, count, suffix):
    counts = count(built("fp16", suffix), with_operators=False).counts
    assert (counts.macs_fp16, counts.macs) == (MACS, MACS)
    assert counts.mac_fp16 == MACS // 8  # eight lanes
    assert (counts.mac_fp32, counts.mac_dot) == (0, 0)


@pytest.mark.parametrize("suffix", [".pte", ".tflite"])
def test_an_int8_file_multiplies_in_dot_products(built, count, suffix):
    counts = count(built("int8", suffix), with_operators=False).counts
    assert (counts.macs_dot, counts.macs) == (MACS, MACS)
    assert counts.mac_dot == MACS // 16  # four lanes of four products each
    assert (counts.mac_fp32, counts.mac_fp16) == (0, 0)
