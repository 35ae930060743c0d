"""The overhead tool measures two things that are alike."""

import pytest
from scripts import load_script


@pytest.fixture(scope="module")
def tool(repository):
    return load_script(repository / "tools" / "bench_harness.py")


def test_the_bare_loop_runs_what_the_harness_runs(tool, awkward_built, awkward):
    job = awkward.job("spin x 1000")
    found = tool.measure(awkward_built, awkward.harness, job, rounds=6, inferences=40)
    assert found.rounds == 6
    assert found.bare_ns >= 1_000_000
    assert found.harness_ns >= 1_000_000
    assert found.low <= found.ratio <= found.high


def test_a_slower_harness_would_be_seen(tool, awkward_built, awkward, monkeypatch):
    run = tool.run_block
    monkeypatch.setattr(tool, "run_block", lambda *args: run(*args, handicap_ppm=200_000))
    job = awkward.job("spin x 1000")
    found = tool.measure(awkward_built, awkward.harness, job, rounds=6, inferences=40)
    assert found.ratio > 1.1


def test_a_file_nobody_runs_is_one_line(tool, tmp_path, capsys):
    assert tool.main(["--model", str(tmp_path / "x.onnx")]) == 2
    assert capsys.readouterr().err.startswith("bench_harness: unknown suffix '.onnx'")
