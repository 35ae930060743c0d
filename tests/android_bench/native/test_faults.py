"""What becomes of a run whose engine or harness dies, hangs or talks: one result, always."""

import dataclasses
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from android_bench.harness.client import Schedule, profile_operators, run_block, verify
from android_bench.harness.process import run_here
from android_bench.harness.result import Status
from android_bench.records import Flag
from pfd_models.errors import DeviceError, InputError, ParityError

# The first inference, two of warm-up and two settling ones come before the first sample.
BEFORE_TIMING = 5


@pytest.mark.parametrize(
    ("behaviour", "stage", "number"),
    [
        ("segv load", "load", signal.SIGSEGV),
        ("abort load", "load", signal.SIGABRT),
        ("segv invoke 1", "first", signal.SIGSEGV),
        ("segv invoke 3", "warmup", signal.SIGSEGV),
    ],
)
def test_a_crash_is_a_result_that_says_where(awkward, behaviour, stage, number, quick):
    result = run_block(awkward.harness, awkward.job(behaviour), quick)
    assert (result.status, result.stage) == (Status.CRASHED, stage)
    assert result.signal == number
    assert "died of signal" in result.message
    assert result.flags() == {Flag.ENGINE_CRASHED, Flag.PARTIAL}
    assert len(result.run.samples_ns) == 0


def test_samples_taken_before_a_crash_are_kept(awkward, quick):
    job = awkward.job(f"segv invoke {BEFORE_TIMING + 6}")
    result = run_block(awkward.harness, job, quick)
    assert (result.status, result.stage) == (Status.CRASHED, "time")
    assert len(result.run.samples_ns) == len(result.run.cpus) == 5
    assert result.run.before.online_cpus
    assert not result.run.after.online_cpus  # it did not come so far


def test_a_line_torn_by_a_crash_is_no_other_error(awkward, quick):
    result = run_block(awkward.harness, awkward.job(f"torn invoke {BEFORE_TIMING + 3}"), quick)
    assert result.status is Status.CRASHED
    assert result.signal == signal.SIGKILL


def test_an_engine_that_leaves_with_status_0_has_crashed(awkward, quick):
    result = run_block(awkward.harness, awkward.job("exit load"), quick)
    assert result.status is Status.CRASHED
    assert result.message == "the engine ended the process with status 0"


def test_an_exception_of_an_engine_is_its_crash(awkward, quick):
    result = run_block(awkward.harness, awkward.job("throw invoke 2"), quick)
    assert (result.status, result.message) == (Status.CRASHED, "an engine's own exception")


def test_the_harness_ends_an_engine_that_hangs(awkward, quick):
    begin = time.monotonic()
    job = awkward.job(f"hang invoke {BEFORE_TIMING + 4}")
    result = run_block(awkward.harness, job, dataclasses.replace(quick, timeout_seconds=1.0))
    assert 1.0 <= time.monotonic() - begin < 10
    assert (result.status, result.stage) == (Status.TIMEOUT, "time")
    assert result.flags() == {Flag.HARNESS_KILLED, Flag.PARTIAL}
    assert len(result.run.samples_ns) == 3


def test_the_host_ends_a_harness_that_does_not_end_itself(awkward, quick, monkeypatch):
    monkeypatch.setattr("android_bench.harness.client.PATIENCE_S", -8.0)
    begin = time.monotonic()
    job, schedule = awkward.job("hang load"), dataclasses.replace(quick, timeout_seconds=9.0)
    result = run_block(awkward.harness, job, schedule)
    assert time.monotonic() - begin < 6
    assert result.status is Status.TIMEOUT
    assert "silent for too long" in result.message


@pytest.fixture
def start(awkward, always):
    """Start a run of an awkward engine; its lines are for the test to read."""

    def start(job, *options):
        command = [*awkward.harness.command, *always, "--engine", "awkward", "--model", job.model]
        return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)

    return start


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def _wait_for_line(process, kind):
    for line in process.stdout:
        if f'"type":"{kind}"' in line:
            return
    pytest.fail(f"no line {kind}")


def test_a_harness_told_to_stop_says_so_and_stops_its_engine(awkward, start):
    with start(awkward.job("hang invoke 1")) as process:
        _wait_for_line(process, "loaded")
        (child,) = _children(process.pid)
        process.send_signal(signal.SIGTERM)
        last = process.stdout.read().splitlines()[-1]
        assert process.wait(5) == 6
    assert '"status":"killed"' in last
    assert "stopped by signal 15" in last
    assert not os.path.exists(f"/proc/{child}")


def test_an_engine_does_not_outlive_a_killed_harness(awkward, start):
    with start(awkward.job("hang invoke 1")) as process:
        _wait_for_line(process, "loaded")
        (child,) = _children(process.pid)
        process.kill()
        process.wait(5)
        deadline = time.monotonic() + 5
        while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not os.path.exists(f"/proc/{child}")


def test_a_killed_harness_gives_a_block_with_what_was_heard(awkward, quick):
    def kill_when_timing(line):
        if line["type"] == "samples":
            os.kill(pid[0], signal.SIGKILL)

    pid = []

    def launch(command, *, timeout_s, on_line, quiet_s=0.0):
        def heard(text):
            if not pid and '"hello"' in text:
                import json

                with open(f"/proc/{json.loads(text)['pid']}/stat") as file:
                    pid.append(int(file.read().rpartition(")")[2].split()[1]))
            on_line(text)

        return run_here(command, timeout_s=timeout_s, on_line=heard)

    harness = dataclasses.replace(awkward.harness, launch=launch)
    schedule = dataclasses.replace(quick, iterations=10_000, flush_seconds=0.05)
    result = run_block(harness, awkward.job("spin x 1000"), schedule, on_line=kill_when_timing)
    assert result.status is Status.LOST
    assert "ended with signal 9 and no last line" in result.message
    assert result.flags() == {Flag.HARNESS_KILLED, Flag.PARTIAL}
    assert 0 < len(result.run.samples_ns) < 10_000


def test_the_work_ends_when_nobody_listens_any_more(awkward, start):
    options = ["--iterations", "1000000", "--flush-seconds", "0.05", "--warmup-seconds", "0"]
    process = start(awkward.job("spin x 1000"), *options)
    _wait_for_line(process, "samples")
    process.stdout.close()
    assert process.wait(5) == 3


def test_an_engine_that_hangs_does_not_hang_on_when_nobody_listens_any_more(awkward, start):
    with start(awkward.job("hang invoke 1")) as process:
        _wait_for_line(process, "loaded")
        (child,) = _children(process.pid)
        process.stdout.close()
        assert process.wait(5) == 3
        assert not os.path.exists(f"/proc/{child}")


def test_an_engine_that_talks_into_the_results_is_found_out(awkward, quick):
    with pytest.raises(DeviceError, match="wrote 'hello from an engine', which is no line"):
        run_block(awkward.harness, awkward.job("chatter invoke 2"), quick)


def test_threads_nobody_asked_for_are_found_out(awkward, quick):
    assert len(run_block(awkward.harness, awkward.job("ok x", threads=3), quick).tasks) == 3
    with pytest.raises(DeviceError, match="the engine uses 4 threads, not 3"):
        run_block(awkward.harness, awkward.job("threads x", threads=3), quick)


def test_nan_is_far_from_everything(awkward):
    assert verify(awkward.harness, awkward.expecting("ok x")).passed
    with pytest.raises(ParityError, match=r"is inf of its maximum away .* 1 elements not finite"):
        verify(awkward.harness, awkward.expecting("nan x"))
    with pytest.raises(ParityError, match="1 elements not finite"):
        verify(awkward.harness, awkward.expecting("nan x", twice=(2.0, np.nan)))


def test_outputs_that_go_wrong_while_timing_void_the_block(awkward, quick):
    job = awkward.expecting(f"late x {BEFORE_TIMING + 4}")
    lines = []
    with pytest.raises(ParityError, match="nothing was recorded"):
        run_block(awkward.harness, job, quick, on_line=lines.append)
    passed = {line["when"]: line["passed"] for line in lines if line["type"] == "verified"}
    assert passed == {"before": True, "after": False}


def test_expected_zeros_must_be_zeros(awkward):
    assert verify(awkward.harness, awkward.expecting("ok x", (0, 0), (0, 0))).passed
    with pytest.raises(ParityError):
        verify(awkward.harness, awkward.expecting("ok x", (0, 1e-9), (0, 0)))


def test_operators_that_change_are_not_joined(awkward, quick):
    result = profile_operators(awkward.harness, awkward.job("ok x"), quick, iterations=3)
    assert [(o.name, o.kind, o.samples_ns) for o in result.operators] == [
        ("double", "MUL", (7, 7, 7))
    ]
    with pytest.raises(DeviceError, match="ran different operators"):
        profile_operators(awkward.harness, awkward.job("unsettled x"), quick, iterations=3)


def test_an_ill_worded_refusal_is_still_one_record(awkward, quick):
    with pytest.raises(InputError) as caught:
        run_block(awkward.harness, awkward.job("refuse load"), quick)
    assert 'no "good" \ufffd file' in str(caught.value)


def test_hostile_names_of_files_are_only_names(harness, quick, network, tmp_path):
    for name in ('quo"te.pte', "new\nline.pte", "$(touch x).pte", "ünï.pte", "--describe"):
        (tmp_path / name).write_bytes(Path(network.job("executorch").model).read_bytes())
        job = network.job("executorch", model=str(tmp_path / name))
        assert run_block(harness, job, quick).status is Status.DONE
    assert not os.path.exists("x")


def test_a_crash_in_verification_and_memory_passes_is_raised(awkward):
    with pytest.raises(DeviceError, match="crashed at stage verify: the engine died of signal 11"):
        verify(awkward.harness, awkward.expecting("segv invoke 2"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--time", "--memory"], "give one of --describe"),
        (["--threads", "0"], "--threads is '0': give a whole number from 1 to 1024"),
        (["--threads", "2x"], "--threads is '2x'"),
        (["--cpu-mask", "g"], "--cpu-mask is 'g'"),
        (["--cpu-mask", "0"], "at least one bit"),
        (["--seconds", "nan"], "--seconds is 'nan'"),
        (["--stop", "maybe"], "give both or either"),
        (["--iterations", "0"], "nothing to do: --iterations and --seconds are both 0"),
        (["--expected", "x"], "--input FILE, which --expected belongs to, is missing"),
        (["--verify"], "--expected FILE"),
        (["--iterations"], "--iterations needs a value"),
        (["--nonsense"], "unknown option '--nonsense'"),
        (["--engine", "../x"], "--engine is '../x'"),
    ],
)
def test_bad_options_are_refused_in_one_record(built, always, options, words):
    lines = []
    command = [str(built.program), *always, "--engine", "executorch", "--model", "x", *options]
    ended = run_here(command, timeout_s=10, on_line=lines.append)
    assert ended.status == 2
    assert len(lines) == 1
    assert '"status":"refused"' in lines[0]
    assert words in lines[0].replace("\\u0027", "'")


@pytest.mark.parametrize(
    "name",
    [
        *("--threads", "--limit", "--warmup-iterations", "--warmup-seconds", "--timeout-seconds"),
        *("--iterations", "--flush-seconds"),
    ],
)
def test_a_number_the_host_decides_has_no_default(built, always, name):
    at, lines = always.index(name), []
    command = [str(built.program), *always[:at], *always[at + 2 :], "--engine", "x", "--model", "x"]
    assert run_here(command, timeout_s=10, on_line=lines.append).status == 2
    assert f"{name} " in lines[0]
    assert "is missing" in lines[0]


def test_an_engine_that_is_not_there_is_named(built, always):
    lines = []
    command = [str(built.program), *always, "--engine", "nosuch", "--model", "x"]
    assert run_here(command, timeout_s=10, on_line=lines.append).status == 2
    assert "unknown engine 'nosuch': choose one of executorch, litert" in lines[-1]


def test_impossible_schedules_are_refused_before_anything_runs():
    with pytest.raises(InputError, match="iterations is 0"):
        Schedule(iterations=0)
    with pytest.raises(InputError, match="seconds is nan"):
        Schedule(seconds=float("nan"))
    with pytest.raises(InputError, match="timeout_seconds is 0"):
        Schedule(timeout_seconds=0)
