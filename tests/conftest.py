"""What every test shares: one thread a process, and one set of artifacts built once."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

pytest_plugins = ["bench_rig", "phone_rig", "trained_digits"]  # tests/support

REPOSITORY = Path(__file__).parent.parent


def pytest_configure(config):
    """Make warnings of tests/support errors too: their names begin with no package of ours."""
    names = "|".join(path.stem for path in (REPOSITORY / "tests" / "support").glob("*.py"))
    config.addinivalue_line("filterwarnings", f"error:::({names})$")


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The README's set, built once a session: the manifest as it lies in a folder."""
    from export import BuildRequest, ZooSource, make_artifacts

    out = tmp_path_factory.mktemp("artifacts")
    request = BuildRequest(source=ZooSource(model="shufflenetv2"), out=out)
    return make_artifacts(request).manifest
