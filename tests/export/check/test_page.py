"""The commands of docs/accelerators.md, as they stand there."""

import re
import shlex

import pytest

from export.build import main as build
from export.check.command import main as check
from export.check.plugins import VENDORS, list_socs, read_operators

COMMANDS = {"export.check": check, "export.build": build}


@pytest.fixture
def page(repository):
    return (repository / "docs" / "accelerators.md").read_text(encoding="utf-8")


def commands(page, *words):
    """Return the page's commands that hold these words."""
    blocks = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if set(words) <= set(line)]


@pytest.fixture
def beside(built, readme_build, tmp_path, monkeypatch):
    """A folder with the README's set in artifacts/, as the page's commands have it."""
    (tmp_path / "artifacts").symlink_to(readme_build.folder)
    monkeypatch.chdir(tmp_path)


def run(command):
    python, flag, module, *arguments = command
    assert (python, flag) == ("python", "-m")
    return COMMANDS[module](arguments)


def test_the_commands_about_npus_work(page, beside, capsys):
    found = commands(page, "--npu")
    assert len(found) == 2
    assert [run(command) for command in found] == [0, 0]
    assert "169 of 169" in capsys.readouterr().out


@pytest.mark.slow  # three times the whole network, in software
def test_the_commands_about_gpus_work(page, gpu, beside, capsys):
    found = [*commands(page, "--gpu"), *commands(page, "--check")]
    assert len(found) == 3
    assert [run(command) for command in found] == [0, 0, 0]
    assert capsys.readouterr().out.count("stays on the GPU, all 169 operators") == 3


def test_the_page_names_the_chips_and_how_many_operators(page):
    mediatek = VENDORS["mediatek"]
    for soc in list_socs(mediatek):
        assert soc.removeprefix("MT") in page
    assert f"({len(read_operators(mediatek))} in\n" in page
