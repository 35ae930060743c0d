"""Virtual environments for packages that cannot live in this project's own.

Each is made once, in a cache folder, and used again by later sessions.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["cache_folder", "make_environment", "unavailable"]


def cache_folder():
    own = os.environ.get("PFD_CACHE_DIR")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(shared) / "pfd-mobile"


def unavailable(reason):
    """Skip on a developer's machine, fail where the check must not be lost."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def make_environment(name, requirements):
    """Make a virtual environment, whole or not at all; return its Python."""
    folder = cache_folder() / "environments" / name
    python, ready = folder / "bin/python", folder / "ready"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of one run ask at once
        if ready.is_file() and ready.read_text() == " ".join(requirements):
            return python
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", *requirements],
        ):
            done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
            if done.returncode:
                lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
                unavailable(f"no environment for {' '.join(requirements)}: {lines[-1:]}")
        ready.write_text(" ".join(requirements))
    return python
