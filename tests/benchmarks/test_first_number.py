"""The benchmark from nothing to a number: its steps, and what a failed one leaves."""

import sys

import pytest
from scripts import load_script


@pytest.fixture
def first_number(repository):
    return load_script(repository / "benchmarks" / "first_number.py")


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "pfd_mobile-0.1.0-py3-none-any.whl"
    path.touch()
    return str(path)


@pytest.fixture
def stages(first_number, monkeypatch):
    """Replace the steps of both ways by short ones."""

    def call(**ways):
        monkeypatch.setattr(
            first_number, "list_stages", lambda way, folder, options: ways[way.replace("-", "_")]
        )

    return call


def test_each_step_is_a_row_and_a_failed_one_ends_its_way_alone(
    first_number, stages, wheel, capsys
):
    def run(text):
        return first_number.Stage(name=text[:12], command=(sys.executable, "-c", text))

    stages(
        pfd_mobile=[run("pass"), run("raise SystemExit('no disk left')"), run("never")],
        litert_cli=[run("pass")],
    )
    assert first_number.main(["--ours", wheel]) == 1
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["pfd-mobile"] * 2 + ["litert-cli"] * 2
    assert rows[1].endswith("no disk left")
    assert "together" in rows[3]


def test_both_ways_begin_in_an_environment_of_their_own(first_number, wheel, monkeypatch):
    seen = []
    monkeypatch.setattr(
        first_number, "run_stage", lambda stage, folder: seen.append(stage) or (0.1, "")
    )
    assert first_number.main(["--ours", wheel]) == 0
    assert [stage.name for stage in seen] == [
        "environment", "install", "build, check and measure",
        "environment", "install", "the network", "convert",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--ours", "gone.whl"], "gone.whl is no file"),
        (["--ours", __file__], "lacks the wheel of pfd-mobile itself: python -m build"),
        (["--ours", __file__, "--ways", "litert"], "invalid choice: 'litert'"),
    ],
)
def test_what_cannot_be_timed_is_refused_before_anything_is_installed(
    options, line, first_number, capsys
):
    with pytest.raises(SystemExit, match="2"):
        first_number.main(options)
    assert line in capsys.readouterr().err
