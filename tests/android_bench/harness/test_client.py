"""The host half without a binary: lines into results, commands with deadlines, reference files."""

import json
import math
import time

import numpy as np
import pytest

from android_bench.harness.lines import LineReader
from android_bench.harness.process import Exit, run_here
from android_bench.harness.result import Status
from android_bench.records import Flag
from pfd_models.errors import DeviceError

FINE = Exit(status=0, stderr="")


def _reading(edge, at_ns, **changes):
    fields = {
        "type": "reading",
        "edge": edge,
        "at_ns": at_ns,
        "boottime_ns": at_ns + 7,
        "cpu": 1,
        "online_cpus": [0, 1],
        "freq_khz": [[0, 1000], [1, None]],
        "freq_cap_khz": [[0, 2000], [1, 2000]],
        "temp_mc": [["cpu", 40_000]],
        "load_1min": 0.5,
        "cpu_ticks": [0, 0, 0, 0, 0, 0, 0, 0],
        "ticks_per_second": 100,
        "own_cpu_ns": 0,
    }
    return fields | changes


HELLO = {"type": "hello", "protocol": 1, "version": "1+abc", "handicap_ppm": 0, "at_ns": 5}
SAMPLES = {"type": "samples", "first": 0, "ns": [30, 20], "cpu": [0, 1]}
END = {
    "type": "end",
    "status": "done",
    "stage": "end",
    "message": "",
    "signal": 0,
    "samples": 2,
    "at_ns": 99,
}


def _read(*lines, ended=FINE):
    reader = LineReader("1+0")
    for line in lines:
        reader.feed(line if isinstance(line, str) else json.dumps(line))
    return reader.result(ended)


def test_lines_become_a_result():
    result = _read(
        HELLO,
        {"type": "opened", "engine": "litert", "engine_version": "2.3.0", "open_ns": 11},
        {"type": "loaded", "load_ns": 12, "inputs": [], "outputs": []},
        {"type": "first", "first_inference_ns": 13},
        {"type": "warmed", "inferences": 14, "elapsed_ns": 15},
        _reading("before", 20),
        SAMPLES,
        {"type": "samples", "first": 2, "ns": [25], "cpu": [-1]},
        _reading("after", 40),
        {"type": "memory", "stage": "end", "vm_rss_kib": 10, "vm_hwm_kib": None},
        END,
    )
    assert result.status is Status.DONE
    assert (result.open_ns, result.run.load_ns, result.run.first_inference_ns) == (11, 12, 13)
    assert result.run.warmup_inferences == 14
    assert result.run.samples_ns.tolist() == [30, 20, 25]
    assert result.run.cpus.tolist() == [0, 1, -1]
    assert result.run.samples_ns.dtype == np.int64
    assert result.run.cpus.dtype == np.int16
    assert result.run.before.freq_khz == {0: 1000, 1: None}
    assert (result.run.before.at_ns, result.run.after.at_ns) == (20, 40)
    assert result.run.vm_hwm_kib is None
    assert not result.flags()


def test_load_is_the_share_of_others_between_the_readings():
    after = _reading("after", 40, cpu_ticks=[60, 0, 10, 100, 10, 0, 0, 20], own_cpu_ns=300_000_000)
    result = _read(HELLO, _reading("before", 20), SAMPLES, after, END)
    assert result.run.after.steal_fraction == pytest.approx(20 / 200)
    assert result.run.after.other_busy_fraction == pytest.approx((70 - 30) / 200)
    assert result.run.before.other_busy_fraction is None


def test_a_kernel_that_hides_its_times_gives_no_load():
    after = _reading("after", 40, cpu_ticks=[])
    result = _read(HELLO, _reading("before", 20), SAMPLES, after, END)
    assert (result.run.after.steal_fraction, result.run.after.other_busy_fraction) == (None, None)


def test_the_time_asleep_is_read_at_both_edges():
    run = _read(
        _reading("before", 20), SAMPLES, _reading("after", 40, boottime_ns=1_100_040), END
    ).run
    assert (run.before.asleep_ns, run.after.asleep_ns) == (7, 1_100_000)


@pytest.mark.parametrize(
    "noise",
    [
        "hello",
        "[" * 100_000,
        "{" * 100_000,
        "9" * 100_000,
        "[1, 2]",
        '{"no": "type"}',
        "{",
        '{"type": 3}',
    ],
)
def test_output_that_is_no_line_is_refused(noise):
    with pytest.raises(DeviceError, match="which is no line of its protocol"):
        _read(HELLO, noise, SAMPLES, END)
    with pytest.raises(DeviceError, match="which is no line of its protocol"):
        _read(HELLO, SAMPLES, END, noise)


def test_a_torn_line_is_forgiven_only_where_the_engine_died():
    crashed = END | {"status": "crashed", "stage": "time", "signal": 11, "message": "died"}
    torn = '{"type":"samples","first":0,"ns":[30,'
    assert _read(HELLO, torn, SAMPLES, crashed).run.samples_ns.tolist() == [30, 20]
    assert _read(HELLO, torn, ended=Exit(status=-9, stderr="")).status is Status.LOST
    with pytest.raises(DeviceError, match="no line of its protocol"):
        _read(HELLO, torn, _reading("before", 20), SAMPLES, crashed)
    with pytest.raises(DeviceError, match="no line of its protocol"):
        _read(HELLO, torn, torn, crashed)


@pytest.mark.parametrize(
    "wrong",
    [
        SAMPLES | {"first": 1},
        SAMPLES | {"cpu": [0]},
        {"type": "samples"},
        {"type": "verified", "when": "before"},
        {"type": "threads", "tasks": [{"name": "x", "cpus_allowed": "zz"}]},
    ],
)
def test_lines_that_contradict_the_protocol_are_refused(wrong):
    with pytest.raises(DeviceError, match=r"the harness's .*(samples|verified|tasks|threads)"):
        _read(HELLO, wrong, END)


def test_lines_of_a_kind_nobody_knows_yet_are_passed_over():
    assert _read(HELLO, {"type": "weather", "sunny": True}, SAMPLES, END).status is Status.DONE


def test_infinite_distance_survives_json():
    output = {"name": "x", "relative_linf": None, "max_expected": 1.0, "not_finite": 2}
    verified = {"when": "before", "samples": 1, "limit": 1e-4, "passed": False}
    line = {"type": "verified", "outputs": [output]} | verified
    result = _read(HELLO, line, END | {"status": "mismatch"})
    assert math.isinf(result.verifications[0].outputs[0].relative_linf)


def test_a_harness_without_a_last_word_is_lost():
    lost = _read(HELLO, SAMPLES, ended=Exit(status=-9, stderr=""))
    assert lost.status is Status.LOST
    assert lost.flags() == {Flag.HARNESS_KILLED, Flag.PARTIAL}
    assert len(lost.run.samples_ns) == 2
    silent = _read(ended=Exit(status=127, stderr="libfoo.so: cannot open\n"))
    assert silent.message.endswith(
        "status 127 and no last line; its last words: libfoo.so: cannot open"
    )
    assert _read(HELLO, ended=Exit(status=None, stderr="")).status is Status.TIMEOUT


def test_a_run_that_broke_off_says_so():
    nothing = _read(ended=Exit(status=None, stderr=""))
    assert len(nothing.run.samples_ns) == 0
    assert nothing.flags() == {Flag.HARNESS_KILLED, Flag.PARTIAL}
    dead = END | {"status": "crashed", "stage": "load", "signal": 11}
    assert _read(HELLO, dead).flags() == {Flag.ENGINE_CRASHED, Flag.PARTIAL}


# -- commands on this computer -----------------------------------------------------------------


def test_lines_are_heard_as_they_come():
    heard = []
    command = ["/bin/sh", "-c", "echo one; sleep 0.3; echo two >&2; printf 'thr\\377ee'; exit 7"]
    begin = time.monotonic()
    ended = run_here(
        command, timeout_s=10, on_line=lambda line: heard.append((line, time.monotonic() - begin))
    )
    assert ended == Exit(status=7, stderr="two\n")
    assert [line for line, _ in heard] == ["one", "thr\ufffdee"]
    assert heard[1][1] - heard[0][1] > 0.2


def test_a_command_that_takes_too_long_ends_with_its_children(tmp_path):
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; wait"
    begin = time.monotonic()
    ended = run_here(["/bin/sh", "-c", script], timeout_s=0.5, on_line=lambda line: None)
    assert ended.status is None
    assert time.monotonic() - begin < 5
    _gone(int(pid_file.read_text()))


def _gone(pid):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except FileNotFoundError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")


def test_what_a_listener_raises_ends_the_command():
    def listener(line):
        raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_here(["/bin/sh", "-c", "echo x; sleep 60"], timeout_s=60, on_line=listener)
    assert time.monotonic() - begin < 5


def test_only_the_end_of_a_long_complaint_is_kept():
    script = "i=0; while [ $i -lt 2000 ]; do echo complaint $i >&2; i=$((i+1)); done"
    ended = run_here(["/bin/sh", "-c", script], timeout_s=20, on_line=lambda line: None)
    assert len(ended.stderr) == 8000
    assert ended.stderr.endswith("complaint 1999\n")


def test_a_command_that_cannot_start_is_one_line(tmp_path, refusal):
    file = tmp_path / "not a program"
    file.write_text("x")
    refusal(
        DeviceError,
        lambda: run_here([str(file)], timeout_s=1, on_line=lambda line: None),
        "permission denied",
        "python -m android_bench.native_build",
    )
