"""The build-time benchmark: both chains run, and its ratios are those of the medians."""

from pathlib import Path

import pytest
import torch
from scripts import load_script
from torch import nn

bench = load_script(Path(__file__).parents[2] / "tools" / "bench_export.py")


def seconds(**steps):
    return {step: {"cpu": cpu, "wall": 2 * cpu} for step, cpu in steps.items()}


def test_ratios_are_of_medians_of_what_both_chains_make():
    runs = {
        "ours": [
            seconds(capture=1, passes=1, pte=4, onnx=2, tflite=50),
            seconds(capture=1, passes=2, pte=2, onnx=3, tflite=50),
            seconds(capture=1, passes=9, pte=3, onnx=1, tflite=50),
        ],
        "stock": [
            seconds(capture=2, pte=10, onnx=4),
            seconds(capture=2, pte=12, onnx=6),
            seconds(capture=2, pte=99, onnx=8),
        ],
    }
    rows = {row["step"]: row for row in bench.make_rows(runs)}
    assert (rows["pte"]["ours_cpu"], rows["pte"]["stock_cpu"]) == (3, 12)
    assert rows["pte"]["ratio_cpu"] == rows["pte"]["ratio_wall"] == 0.25
    assert "ratio_cpu" not in rows["passes"]
    assert rows["passes"]["ours_cpu"] == 2
    # Sums of a run first, then their median: 8, 8, 14 against 16, 20, 109.
    assert (rows["whole chain"]["ours_cpu"], rows["whole chain"]["stock_cpu"]) == (8, 20)
    assert rows["whole chain"]["ratio_cpu"] == 0.4


def test_a_peers_tflite_counts_on_both_sides():
    runs = {
        "ours": [seconds(passes=1, pte=4, onnx=2, tflite=1)],
        "stock": [seconds(pte=8, onnx=4, tflite=4)],
    }
    assert bench.make_rows(runs)[-1]["ratio_cpu"] == 0.5


def test_the_chains_take_turns_so_that_neither_is_always_first():
    assert bench.order_runs(3) == ["ours", "stock", "stock", "ours", "ours", "stock"]


@pytest.mark.parametrize("chain", ["ours", "stock"])
def test_a_chain_writes_its_files_and_times_each(chain, tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    found = bench.RUNNERS[chain](net, torch.randn(1, 3, 8, 8), tmp_path)
    assert {"capture", "pte", "onnx"} <= found.keys()
    assert {"net.pte", "net.onnx"} <= {path.name for path in tmp_path.iterdir()}
    assert all(step["cpu"] > 0 and step["wall"] > 0 for step in found.values())
