"""What becomes of a heat when a child, its supervisor or its host fails: one result, always."""

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time

import pytest

from android_bench.harness.heat import HeatSchedule, run_heat
from android_bench.harness.wire import Status
from android_bench.records import Flag
from pfd_models.errors import DeviceError, InputError, ParityError

PAIR = (0, 1, 1, 0)
BURST = 5
SHORT = HeatSchedule(
    burst=BURST, seconds=0.05, warmup_iterations=2, warmup_seconds=0.0, timeout_seconds=60.0
)
ENDLESS = dataclasses.replace(SHORT, seconds=1000.0)
BEFORE_TURNS = 3
"""Inferences of a child before its first turn: the first one and the warm-up."""
LABELS = ["good", "bad"]


def heat_of(awkward, behaviours, schedule=SHORT, **changes):
    jobs = [awkward.job(behaviour) for behaviour in behaviours]
    return run_heat(awkward.harness, jobs, schedule, labels=LABELS, order=PAIR, **changes)


@pytest.mark.parametrize(
    ("what", "number", "words"),
    [
        ("segv", signal.SIGSEGV, "the engine died of signal 11"),
        ("abort", signal.SIGABRT, "the engine died of signal 6"),
        ("exit", 0, "the engine ended the process with status 0"),
        ("throw", 0, "an engine's own exception"),
        ("torn", signal.SIGKILL, "the engine died of signal 9"),
    ],
)
def test_a_child_that_crashes_in_its_turn_ends_the_heat_and_whole_turns_are_kept(
    awkward, what, number, words
):
    # In the middle of its second turn, the third of the heat.
    at = BEFORE_TURNS + BURST + 3
    heat = heat_of(awkward, ["spin x 100", f"{what} invoke {at} 200"], ENDLESS)
    assert (heat.status, heat.stage, heat.child) == (Status.CRASHED, "time", 1)
    assert words in heat.message
    assert heat.turns.turn_child.tolist() == [0, 1]
    assert len(heat.turns.samples_ns) == len(heat.turns.cpus) == 2 * BURST
    assert heat.flags() == {Flag.ENGINE_CRASHED, Flag.PARTIAL}
    good, bad = heat.children
    assert (good.signal, bad.signal) == (signal.SIGKILL, number)
    assert (good.status, bad.status) == (Status.KILLED, Status.CRASHED)
    assert good.message.startswith("bad ended the heat: ")


@pytest.mark.parametrize(
    ("behaviour", "stage"), [("segv load", "load"), ("abort invoke 1", "first")]
)
def test_a_child_that_crashes_before_the_turns_is_named_with_its_stage(awkward, behaviour, stage):
    heat = heat_of(awkward, ["spin x 100", behaviour])
    assert (heat.status, heat.stage, heat.child) == (Status.CRASHED, stage, 1)
    assert len(heat.turns.samples_ns) == 0
    assert heat.children[0].run.warmup_inferences == SHORT.warmup_iterations
    assert heat.children[1].run.first_inference_ns is None


def test_a_child_killed_from_outside_is_a_crash_that_speaks_of_memory(awkward):
    heat = heat_of(awkward, ["spin x 100", f"kill invoke {BEFORE_TURNS + 1}"], ENDLESS)
    assert (heat.status, heat.child) == (Status.CRASHED, 1)
    assert "a system that runs out of memory does this" in heat.message


def test_a_child_that_hangs_in_its_turn_ends_the_heat_at_the_turns_deadline(awkward):
    schedule = dataclasses.replace(ENDLESS, turn_timeout_seconds=0.5)
    begin = time.monotonic()
    heat = heat_of(awkward, ["spin x 100", f"hang invoke {BEFORE_TURNS + 2} 100"], schedule)
    assert 0.5 <= time.monotonic() - begin < 10
    assert (heat.status, heat.stage, heat.child) == (Status.TIMEOUT, "time", 1)
    assert heat.message == "turn 1 was not over after 0.5 s"
    assert heat.turns.turn_child.tolist() == [0]
    assert heat.flags() == {Flag.HARNESS_KILLED, Flag.PARTIAL}


def test_a_slow_turn_is_no_hanging_one(awkward):
    schedule = dataclasses.replace(SHORT, seconds=0.0, turn_timeout_seconds=30.0)
    heat = heat_of(awkward, ["spin x 100", f"slow invoke {BEFORE_TURNS + 2}"], schedule)
    assert heat.status is Status.DONE
    assert heat.turns.samples_ns.max() >= 500_000_000
    assert int(heat.turns.samples_ns.argmax()) == BURST + 1


def test_a_child_that_hangs_before_the_turns_ends_the_heat_at_the_whole_ones_deadline(awkward):
    schedule = dataclasses.replace(SHORT, timeout_seconds=1.0)
    heat = heat_of(awkward, ["spin x 100", "hang load"], schedule)
    assert (heat.status, heat.stage, heat.child) == (Status.TIMEOUT, "load", 1)
    assert heat.message == "not done after 1 s"


def test_a_child_without_memory_ends_the_heat_and_is_named(awkward):
    with pytest.raises(DeviceError, match=r"bad, awkward on .*hungry_load.awk: no memory left"):
        heat_of(awkward, ["spin x 100", "hungry load"])


def test_a_heat_without_memory_for_its_records_says_so(awkward):
    command = ("prlimit", f"--as={40 << 20}", *awkward.harness.command)
    small = dataclasses.replace(
        awkward, harness=dataclasses.replace(awkward.harness, command=command)
    )
    with pytest.raises(DeviceError, match="the heat of good, bad: no memory left for what a heat"):
        heat_of(small, ["spin x 100"] * 2, dataclasses.replace(SHORT, burst=1, seconds=10.0))


def test_a_child_that_refuses_its_file_is_the_callers_error(awkward):
    with pytest.raises(InputError, match=r'bad, awkward on .*: no "good"'):
        heat_of(awkward, ["spin x 100", "refuse load"])
    with pytest.raises(InputError, match=r"bad, awkward on .*: cannot read"):
        heat_of(awkward, ["spin x 100", ""])


def test_a_child_with_a_thread_too_many_is_found_out(awkward):
    with pytest.raises(DeviceError, match=r"bad, .*the engine uses 2 threads, not 1"):
        heat_of(awkward, ["spin x 100", "threads x"])


def test_wrong_outputs_of_one_child_are_found_before_and_after_its_turns(awkward):
    right = awkward.expecting("ok x")
    for behaviour in ("nan x", f"late x {BEFORE_TURNS + 1 + BURST}"):
        jobs = [right, awkward.expecting(behaviour)]
        with pytest.raises(ParityError, match=r"bad, .* nothing was recorded"):
            run_heat(awkward.harness, jobs, SHORT, labels=LABELS, order=PAIR)
    heat = run_heat(awkward.harness, [right, right], SHORT, labels=LABELS, order=PAIR)
    assert [[v.when for v in c.verifications] for c in heat.children] == [["before", "after"]] * 2


# -- the supervisor or the host is gone -----------------------------------------------------------


def wait_readable(file, seconds=20.0):
    assert select.select([file], [], [], seconds)[0], f"nothing in {seconds} s"


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@dataclasses.dataclass
class Running:
    """A heat that will not end by itself: its supervisor and its children, as they are watched."""

    supervisor: int
    files: list[int]  # one for each process; readable when it is gone

    def is_gone_within_a_second(self):
        deadline = time.monotonic() + 1
        for file in self.files:
            wait_readable(file, max(0.0, deadline - time.monotonic()))


IN_A_TURN = f"call invoke {BEFORE_TURNS + 2} 1000"
IN_ITS_TURN_FOR_EVER = f"stuck invoke {BEFORE_TURNS + 2}"
BEING_MADE_READY = "stuck invoke 1"
at_any_time = pytest.mark.parametrize("where", [IN_A_TURN, IN_ITS_TURN_FOR_EVER, BEING_MADE_READY])


@pytest.fixture
def run_until(awkward):
    """Start a heat below a command, and wait until its second child is somewhere."""
    with contextlib.ExitStack() as stack:

        def run_until(where, *below, **streams):
            jobs = [awkward.job("spin x 1000"), awkward.job(where)]
            pipe = f"{jobs[1].model}.pipe"
            os.mkfifo(pipe)
            called = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            stack.callback(os.close, called)
            process = subprocess.Popen([*below, *_command(awkward, jobs)], **streams)
            stack.enter_context(process)
            stack.callback(process.kill)
            wait_readable(called)
            (supervisor,) = children_of(process.pid) if below else (process.pid,)
            pids = [supervisor, *children_of(supervisor)]
            assert len(pids) == 3
            files = [os.pidfd_open(pid) for pid in pids]
            for file in files:
                stack.callback(os.close, file)
            return process, Running(supervisor=supervisor, files=files)

        yield run_until


def _command(awkward, jobs):
    command = [*awkward.harness.command, "--heat", "--burst", str(BURST), "--order", "0,1,1,0"]
    command += ["--heat-seconds", "1000", "--turn-timeout-seconds", "500"]
    command += ["--warmup-iterations", "2", "--warmup-seconds", "0", "--timeout-seconds", "600"]
    for job in jobs:
        command += ["--child", "--engine", "awkward", "--model", job.model]
        command += ["--threads", "1", "--limit", "1"]
    return command


@pytest.mark.parametrize("where", [IN_ITS_TURN_FOR_EVER, BEING_MADE_READY])
def test_who_has_no_turn_sleeps(run_until, where):
    process, running = run_until(where, stdout=subprocess.PIPE)
    waiting, _ = children_of(running.supervisor)
    for pid in (running.supervisor, waiting):
        deadline = time.monotonic() + 5
        while _state(pid) != "S" and time.monotonic() < deadline:
            os.sched_yield()  # it may still be on its way
        assert _state(pid) == "S"
    process.kill()


def _state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


@at_any_time
def test_children_do_not_outlive_a_killed_supervisor(run_until, where):
    process, running = run_until(where, stdout=subprocess.PIPE)
    process.kill()
    running.is_gone_within_a_second()


@at_any_time
def test_a_supervisor_told_to_stop_ends_its_children_and_tells_what_there_is(run_until, where):
    process, running = run_until(where, stdout=subprocess.PIPE, text=True)
    process.send_signal(signal.SIGTERM)
    *_, last = lines = [json.loads(line) for line in process.stdout]
    assert process.wait(5) == 6
    running.is_gone_within_a_second()
    assert (last["status"], last["signal"], last["child"]) == ("killed", signal.SIGTERM, None)
    assert "stopped by signal 15" in last["message"]
    samples = sum(len(line["ns"]) for line in lines if line["type"] == "samples")
    assert samples == last["samples"] == BURST * last["turns"]
    assert (last["turns"] > 0) == (where is not BEING_MADE_READY)


@at_any_time
def test_a_heat_ends_when_nobody_listens_any_more(run_until, where):
    process, running = run_until(where, stdout=subprocess.PIPE)
    process.stdout.close()
    running.is_gone_within_a_second()
    assert process.wait(5) == 3


HOST = """
import sys
from android_bench.harness.process import run_here
run_here(sys.argv[1:], timeout_s=600, on_line=lambda line: None)
"""


@at_any_time
def test_a_heat_ends_when_its_host_is_killed(run_until, where):
    process, running = run_until(where, sys.executable, "-c", HOST)
    process.kill()
    running.is_gone_within_a_second()


def test_a_heat_written_to_a_file_goes_on_without_its_host(run_until, tmp_path):
    """As on a phone, where a run is detached: a pulled cable is no reason to stop."""
    with open(tmp_path / "stdout", "wb") as file:
        process, running = run_until(IN_A_TURN, "sh", "-c", '"$@" & wait', "-", stdout=file)
        process.kill()
        process.wait()
        with pytest.raises(AssertionError, match="nothing in"):
            wait_readable(running.files[0], 0.3)
        os.kill(running.supervisor, signal.SIGTERM)
        running.is_gone_within_a_second()
    assert (tmp_path / "stdout").read_text().splitlines()[-1].startswith('{"type":"end"')


def test_a_killed_supervisor_is_a_result_too(awkward):
    jobs = [awkward.job("spin x 1000")] * 2

    def kill_at_once(line):
        os.kill(line["pid"], signal.SIGKILL)

    heat = run_heat(awkward.harness, jobs, ENDLESS, labels=LABELS, order=PAIR, on_line=kill_at_once)
    assert (heat.status, heat.child) == (Status.LOST, None)
    assert "ended with signal 9 and no last line" in heat.message
    assert heat.flags() == {Flag.HARNESS_KILLED, Flag.PARTIAL}
