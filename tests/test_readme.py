"""The README's lines are run as they stand there."""

import os
import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def snippets(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_every_python_snippet_runs_beside_the_artifacts(readme, built, tmp_path, repository):
    (tmp_path / "artifacts").symlink_to(built.folder)
    codes = snippets(readme, "python")
    assert len(codes) == 5
    for code in codes:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(repository)},
        )  # fmt: skip
        assert done.returncode == 0, f"{code}\n{done.stderr}"


def test_loading_takes_five_lines(readme):
    for code in snippets(readme, "python")[:4]:
        assert len([line for line in code.splitlines() if line]) <= 5


def test_the_named_files_are_the_built_ones(readme, built):
    names = set(re.findall(r"shufflenetv2_ours_cifar100_32_fp32[\w.]*\w", readme))
    assert names == {p.name for p in built.folder.iterdir() if not p.name.startswith(".")}


def test_the_ci_script_runs_the_readmes_test_command(readme, repository):
    command = snippets(readme.partition("<!-- test command -->")[2], "sh")[0].strip()
    assert command.endswith("python -m pytest -n 2")
    assert "README.md" in (repository / ".ci" / "run").read_text()


def test_every_linked_document_exists(readme, repository):
    for target in re.findall(r"\]\(([\w/.-]+)\)", readme):
        assert (repository / target).exists(), target
