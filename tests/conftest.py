"""What every test shares: one thread a process, and one set of artifacts built once."""

import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

pytest_plugins = [
    "app_sets",
    "bench_process",
    "bench_rig",
    "in_process_builds",
    "installed_wheel",
    "longest_first",
    "made_once",
    "mediapipe_classifier",
    "phone_rig",
    "refusals",
    "trained_digits",
]  # tests/support

REPOSITORY = Path(__file__).parent.parent


def pytest_configure(config):
    # Torch's half a million objects live as long as the process, and each full collection looks
    # at all of them for 0.3 s: with Python's own threshold, every few tests.
    gc.set_threshold(10_000)
    # Warnings of tests/support are errors too; their names begin with no package of ours.
    names = "|".join(path.stem for path in (REPOSITORY / "tests" / "support").glob("*.py"))
    config.addinivalue_line("filterwarnings", f"error:::({names})$")


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@dataclass(frozen=True)
class ReadmeBuild:
    """The README's first command: where it put its files, and what it said."""

    folder: Path
    exit_status: int
    output: str
    errors: str


@pytest.fixture(scope="session")
def readme_build(make_once):
    """The README's set, built once by its command, whoever and however many processes ask."""

    def build(folder):
        command = ["-m", "export.build", "--model", "shufflenetv2", "--variant", "ours"]
        done = subprocess.run(
            [sys.executable, *command, "--out", str(folder / "artifacts")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = json.dumps([done.returncode, done.stdout, done.stderr])
        (folder / "said.json").write_text(said)

    folder = make_once("readme_build", build)
    status, output, errors = json.loads((folder / "said.json").read_text())
    return ReadmeBuild(
        folder=folder / "artifacts", exit_status=status, output=output, errors=errors
    )


@pytest.fixture(scope="session")
def built(readme_build):
    """The manifest of the README's set as it lies in its folder; nobody changes the files."""
    from export import load_manifest

    assert readme_build.exit_status == 0, readme_build.errors
    (manifest,) = readme_build.folder.glob("[!.]*_fp32.json")
    return load_manifest(manifest)
