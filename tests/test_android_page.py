"""docs/android.md: its commands, in order, one as the next one needs it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from export.android.__main__ import main as write_app
from export.cli.options import make_parser
from export.cli.requests import parse_requests
from export.pipeline import make_artifacts


@pytest.fixture(scope="module")
def commands(repository):
    page = (repository / "docs" / "android.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_page_builds_a_trained_network_and_writes_its_app(
    commands, digitnet, trained, tmp_path, monkeypatch
):
    """With a network that is trained and built in seconds; ``-m slow`` takes the page's own."""
    monkeypatch.chdir(tmp_path)
    small = {"--model shufflenetv2": f"--model {digitnet} --variant orig"}
    small["shufflenetv2_ours"] = f"{digitnet}_orig"
    for old, new in small.items():
        commands = [line.replace(old, new) for line in commands]
    run = [shlex.split(line) for line in commands]
    builds = [words[3:] for words in run if words[1:3] == ["-m", "export.build"]]
    assert len(builds) == 2
    for words in builds:
        (request,) = parse_requests(
            make_parser().parse_args([*words, "--weights", str(trained.weights)])
        )
        make_artifacts(request)
    (app,) = [words[3:] for words in run if words[1:3] == ["-m", "export.android"]]
    assert write_app(app) == 0
    assert (tmp_path / "app/src/main/java/com/example/digits/LiteRtClassifier.kt").is_file()
    assert (tmp_path / "app/src/main/assets/labels.txt").read_text().split() == list("0123456789")


@pytest.mark.slow
def test_the_page_runs_as_it_stands(commands, repository, tmp_path):
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": search, "PYTHONPATH": str(repository)}
    for line in commands:
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"
    assert (tmp_path / "app/build/parity").is_file()
