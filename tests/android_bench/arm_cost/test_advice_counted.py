"""Advice on a tiny network whose choices are really built and counted."""

import json
from pathlib import Path

import pytest

from android_bench.arm_cost import CORES, count_file
from android_bench.cli.arm.main import main
from android_bench.records.arm_count import KINDS

NET = """
import torch
from torch import nn


def unit(before, after):
    return [
        nn.Conv2d(before, before, 3, stride=2, padding=1, groups=before, bias=False),
        nn.BatchNorm2d(before),
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


def make():
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return nn.Sequential(*stem, *unit(8, 16), *unit(16, 32), *head)
"""


@pytest.mark.slow
def test_advice_names_the_choice_that_executes_least_and_the_command_that_builds_it(
    tools, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("tiny.py").write_text(NET)
    words = ["--module", "tiny:make", "--input", "1,3,32,32", "--runtime", "executorch"]
    assert main(["advise", *words, "--exhaustive", "--out", "sets", "--json", "counts.json"]) == 0
    said = capsys.readouterr().out
    files = json.loads(Path("counts.json").read_text())["files"]
    assert len(files) == 8  # a stem and two steps, each converted or not
    work = {f["file"]: sum(f["count"]["counts"][kind] for kind in KINDS) for f in files}
    plain = next(name for name in work if "pfd" not in name)
    # On maps this small the pool of each conversion costs more than the smaller maps save.
    assert min(work, key=work.get) == plain
    assert "cheapest of 8 choices counted, of 8 there are: the module as it is" in said
    assert said.rstrip().endswith("export.build --module tiny:make --input 1,3,32,32")
    again = count_file(Path("sets", plain), CORES["a77"], with_operators=False, use_cache=False)
    assert again.counts.instructions == work[plain]
    assert f"{work[plain]:,}" in said
