"""The wheel has what an installed package needs."""

import json
import tomllib
import zipfile
from pathlib import Path

import pytest
from installed_wheel import PACKAGES, run

NETWORK = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
"""

IMPORT_ALL = """
import importlib, json, sys
files = [importlib.import_module(name).__file__ for name in json.load(sys.stdin)]
print(json.dumps(files))
"""


def files_of_ours(repository):
    """Names of all files below the packages, as a wheel has them."""
    return {
        path.relative_to(repository).as_posix()
        for package in PACKAGES
        for path in (repository / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_file_that_is_no_module_is_listed_as_package_data(repository):
    data = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = {
        path.relative_to(repository).as_posix()
        for package, patterns in data["package-data"].items()
        for pattern in patterns
        for path in (repository / package).glob(f"{pattern}/*" if "**" in pattern else pattern)
    }
    others = {name for name in files_of_ours(repository) if not name.endswith(".py")}
    assert others - listed == set()


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_packages(installed, repository):
    with zipfile.ZipFile(installed.wheel) as archive:
        assert files_of_ours(repository) - set(archive.namelist()) == set()


@pytest.mark.slow
def test_every_module_of_the_installed_wheel_is_imported_from_it(installed, tmp_path):
    names = json.dumps(installed.modules)
    files = json.loads(run([installed.python, "-c", IMPORT_ALL], input=names, cwd=tmp_path))
    assert len(files) > 200
    assert {name for name in files if installed.folder not in Path(name).parents} == set()


@pytest.mark.slow
@pytest.mark.parametrize("program", ["pfd-build", "pfd-bench", "pfd-arm", "pfd-train"])
def test_each_program_of_the_installed_wheel_says_how_it_is_used(installed, program, tmp_path):
    assert run([installed.program(program), "--help"], cwd=tmp_path).startswith("usage:")


@pytest.mark.slow
def test_the_installed_wheel_builds_a_network(installed, tmp_path):
    (tmp_path / "tiny.py").write_text(NETWORK)
    build = [installed.program("pfd-build"), "--module", "tiny:Net", "--input", "1,3,8,8"]
    run(build, cwd=tmp_path)
    (manifest,) = (tmp_path / "artifacts").glob("[!.]*_fp32.json")
    kinds = {artifact["format"] for artifact in json.loads(manifest.read_text())["artifacts"]}
    assert kinds == {"onnx", "pte", "tflite"}
