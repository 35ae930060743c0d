"""What takes long to make is made once a run, whichever of its workers asks first."""

import fcntl
import os
import shutil

import pytest


@pytest.fixture(scope="session")
def make_once(tmp_path_factory):
    """Give a function that has a folder filled once and returns it, full, to every worker."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # a worker's own lies in that of the run

    def make(name, fill):
        folder, done = base / name, base / f"{name}.done"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failure left
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make
