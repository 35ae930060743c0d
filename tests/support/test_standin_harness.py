"""The stand-in run in this process tells what it tells as a program of its own."""

import json
import os
import re
import signal
import sys

import pytest
from standin_launcher import STANDIN, InProcessLauncher
from virtual_time import VirtualTime

from android_bench.harness.process import Exit, run_here
from pfd_models.errors import DeviceError

HERE = (sys.executable, "-IS", str(STANDIN), "1+test")
TIME = ("--time", "--iterations", "6", "--handicap-ppm", "0")
HEAT = ("--heat", "--burst", "2,3", "--order", "0,1,1,0", "--heat-seconds", "0")


@pytest.fixture(params=["in this process", "as a program"])
def launcher(request):
    return run_here if request.param == "as a program" else InProcessLauncher(VirtualTime())


def command(folder, how, mode=TIME):
    model = folder / "models" / "net.pte"
    model.parent.mkdir(parents=True)
    model.write_text(json.dumps({"latency_ns": 1_000, mode[0].removeprefix("--"): {"1": how}}))
    job = ["--engine", "executorch", "--model", str(model)]
    return [*HERE, *mode, *(["--child", *job, "--child", *job] if mode is HEAT else job)]


def heard(launcher, line, timeout_s=10.0):
    lines = []
    return launcher(line, timeout_s=timeout_s, on_line=lines.append), lines


def without_times(lines):
    """Give the lines but for what no two runs have in common: clocks and process numbers."""
    clocks = r'"(at_ns|boottime_ns|pid)": \d+|"(begin_ns|end_ns)": \[[^]]*\]'
    return [re.sub(clocks, "0", line) for line in lines]


@pytest.mark.parametrize(
    ("mode", "how", "status"),
    [
        (("--describe",), "well", 0),
        (("--verify",), "well", 0),
        (("--verify",), "mismatch", 1),
        (("--verify",), "refuse", 2),
        (("--verify",), "no_backend", 3),
        (("--memory",), "well", 0),
        (("--profile", "--iterations", "2"), "well", 0),
        (TIME, "well", 0),
        (TIME, "loaded", 0),
        (TIME, "garbage", 0),
        (TIME, "crash", 4),
        (TIME, "die", -signal.SIGKILL),
        (TIME, "die_late", -signal.SIGKILL),
        (TIME, "tear", -signal.SIGKILL),
        (HEAT, "well", 0),
        (HEAT, "crash", 4),
        (HEAT, "refuse", 2),
        (HEAT, "tear", -signal.SIGKILL),
    ],
)
def test_both_ways_to_run_it_tell_the_same(tmp_path, mode, how, status):
    ended, lines = heard(run_here, command(tmp_path / "a", how, mode))
    ended_here, lines_here = heard(
        InProcessLauncher(VirtualTime()), command(tmp_path / "b", how, mode)
    )
    assert ended == ended_here == Exit(status=status, stderr="")
    assert without_times(lines) == without_times(lines_here)
    assert lines
    assert (how == "tear") == (not lines[-1].endswith("}"))


def test_a_hang_ends_with_patience(tmp_path, launcher):
    ended, lines = heard(launcher, command(tmp_path, "hang"), timeout_s=1.0)
    assert ended == Exit(status=None, stderr="")
    assert '"samples"' in lines[-1]


def test_patience_is_waited_out_on_the_clock_alone(tmp_path):
    clock = VirtualTime()
    began = clock.monotonic()
    heard(InProcessLauncher(clock), command(tmp_path, "hang"), timeout_s=600.0)
    assert clock.monotonic() - began == pytest.approx(600.0)


def test_what_a_listener_raises_ends_the_run(tmp_path, launcher):
    lines = []

    def listen(line):
        lines.append(line)
        if '"loaded"' in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launcher(command(tmp_path, "hang"), timeout_s=10.0, on_line=listen)
    assert '"loaded"' in lines[-1]


def test_each_run_is_a_process_of_its_own(tmp_path, launcher):
    line = command(tmp_path, "well")
    pids = [json.loads(heard(launcher, line)[1][0])["pid"] for _ in range(3)]
    assert len({*pids, os.getpid()}) == 4
    if isinstance(launcher, InProcessLauncher):
        assert [run.pid for run in launcher.runs("time")] == pids


def test_a_failure_of_its_own_is_told_as_a_program_tells_it(tmp_path, launcher):
    line = command(tmp_path, "well")
    os.remove(line[-1])
    ended, lines = heard(launcher, line)
    assert (ended.status, lines) == (1, [])
    assert ended.stderr.strip().splitlines()[-1].startswith("FileNotFoundError")


def test_a_program_that_is_not_there_is_refused(launcher):
    with pytest.raises(DeviceError, match="cannot run /nowhere/pfd_bench"):
        heard(launcher, ["/nowhere/pfd_bench", "--describe"])
