"""The bench's command in a process of its own, to be killed or interrupted."""

import os
import subprocess
import sys

import pytest

# The command measures quickly, locks in its own folder, and may run on another device.
COMMAND = """
import sys
from pathlib import Path
import pytest
from bench_rig import TOOL, StandinDevice, own_locks, quick_rules
from scripts import load_script
from android_bench.devices import opening
from android_bench.records import Schedule
patch = pytest.MonkeyPatch()
own_locks(patch, Path.cwd())
quick_rules(patch, Schedule(iterations=40, seconds=0.1, warmup_seconds=0.0))
if sys.argv[1] == "stand-in":
    opening.DEVICES = {"host": lambda: StandinDevice(in_process=False)}
sys.exit(load_script(TOOL).main(sys.argv[2:]))
"""


@pytest.fixture
def start_bench(repository, tmp_path):
    """Start the command on this computer with its harness, or a ``stand-in`` for it."""
    started = []
    paths = [str(repository), str(repository / "tests/support")]

    def start(harness, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, harness, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(process, words):
    """Read what it says until these words come."""
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return
    pytest.fail(f"it ended without {words!r}: {''.join(said)}")
