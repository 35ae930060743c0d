"""What every test shares: one thread a process, and one set of artifacts built once."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

pytest_plugins = [
    "bench_process",
    "bench_rig",
    "made_once",
    "phone_rig",
    "trained_digits",
]  # tests/support

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def built(make_once):
    """The README's set, built once: the manifest as it lies in a folder. Copy what you change."""
    from export.sets.manifest import load_manifest

    def build(folder):
        from export import BuildRequest, ZooSource, make_artifacts

        make_artifacts(BuildRequest(source=ZooSource(model="shufflenetv2"), out=folder))

    (path,) = make_once("artifacts", build).glob("shufflenetv2_*.json")
    return load_manifest(path)
