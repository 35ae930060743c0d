"""`tools/check_on_arm.py`: files on emulated cores, beside what they may be off."""

from __future__ import annotations

import re

import pytest
from scripts import load_script


@pytest.fixture(scope="module")
def check(repository):
    return load_script(repository / "tools" / "check_on_arm.py")


def run(check, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["check_on_arm.py", *map(str, arguments)])
    return check.main()


def path_of(manifest):
    return manifest.folder / f"{manifest.stem}.json"


def test_a_row_a_file_says_how_far_it_is_on_each_core(
    check, monkeypatch, capsys, cores, byte_set, half_set
):
    paths = [path_of(manifest) for manifest in (byte_set, half_set)]
    assert run(check, monkeypatch, *paths, "--cores", "cortex-a76") == 0
    told = capsys.readouterr().out
    rows = [line for line in told.splitlines() if re.search(r"\.(pte|tflite)", line)]
    assert len(rows) == 4
    for row in rows[:2]:  # the integers of the reference, steps of the output behind
        assert "0.00e+00 (0)" in row
    for row, artifact in zip(rows[2:], half_set.artifacts[1:], strict=True):
        assert f"{artifact.parity.eager_relative_linf:.2e}" in row
        assert f"{artifact.parity.limit:.2e}" in row


def test_an_unknown_core_is_one_line(check, monkeypatch, capsys, cores, byte_set):
    assert run(check, monkeypatch, path_of(byte_set), "--cores", "a99") == 2
    assert capsys.readouterr().err.startswith("error: unknown core 'a99'")
