"""The host half without a binary: lines into results, commands with deadlines, reference files."""

import dataclasses
import hashlib
import json
import math
import os
import time

import numpy as np
import pytest

from android_bench.campaign.blocks import block_of
from android_bench.campaign.reference_files import write_reference
from android_bench.harness.lines import LineReader
from android_bench.harness.process import Exit, run_here
from android_bench.harness.result import Status
from android_bench.records import Flag
from android_bench.statistics.design import BlockPlan
from export.sets.manifest import Artifact, Manifest, Parity, ReferenceData, TensorSpec
from pfd_models.errors import DeviceError, InputError, IntegrityError

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
    reader = LineReader()
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
    assert (result.open_ns, result.load_ns, result.first_inference_ns) == (11, 12, 13)
    assert result.warmup_inferences == 14
    assert result.samples_ns.tolist() == [30, 20, 25]
    assert result.cpus.tolist() == [0, 1, -1]
    assert result.samples_ns.dtype == np.int64
    assert result.cpus.dtype == np.int16
    assert result.before.freq_khz == {0: 1000, 1: None}
    assert (result.began_ns, result.ended_ns) == (5, 99)
    assert result.peak_kib is None
    assert not result.flags()


def test_load_is_the_share_of_others_between_the_readings():
    after = _reading("after", 40, cpu_ticks=[60, 0, 10, 100, 10, 0, 0, 20], own_cpu_ns=300_000_000)
    result = _read(HELLO, _reading("before", 20), SAMPLES, after, END)
    assert result.after.steal_fraction == pytest.approx(20 / 200)
    assert result.after.other_busy_fraction == pytest.approx((70 - 30) / 200)
    assert result.before.other_busy_fraction is None


def test_a_kernel_that_hides_its_times_gives_no_load():
    after = _reading("after", 40, cpu_ticks=[])
    result = _read(HELLO, _reading("before", 20), SAMPLES, after, END)
    assert (result.after.steal_fraction, result.after.other_busy_fraction) == (None, None)


def test_a_device_that_slept_is_flagged():
    awake = _read(
        _reading("before", 20), SAMPLES, _reading("after", 40, boottime_ns=1_000_040), END
    )
    slept = _read(
        _reading("before", 20), SAMPLES, _reading("after", 40, boottime_ns=1_100_040), END
    )
    assert not awake.flags()
    assert slept.flags() == {Flag.CLOCK_JUMP}


def test_a_sample_on_a_cpu_that_was_not_allowed_is_flagged():
    result = _read(HELLO, SAMPLES, END)
    assert result.flags(0b11) == result.flags(0) == frozenset()
    assert result.flags(0b10) == {Flag.WRONG_CORE}


@pytest.mark.parametrize("noise", ["hello", "[1, 2]", '{"no": "type"}', "{", '{"type": 3}'])
def test_output_that_is_no_line_is_refused(noise):
    with pytest.raises(DeviceError, match="which is no line of its protocol"):
        _read(HELLO, noise, SAMPLES, END)
    with pytest.raises(DeviceError, match="which is no line of its protocol"):
        _read(HELLO, SAMPLES, END, noise)


def test_a_torn_line_is_forgiven_only_where_the_engine_died():
    crashed = END | {"status": "crashed", "stage": "time", "signal": 11, "message": "died"}
    torn = '{"type":"samples","first":0,"ns":[30,'
    assert _read(HELLO, torn, SAMPLES, crashed).samples_ns.tolist() == [30, 20]
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
    with pytest.raises(DeviceError, match="cannot be read"):
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
    assert len(lost.samples_ns) == 2
    silent = _read(ended=Exit(status=127, stderr="libfoo.so: cannot open\n"))
    assert silent.message.endswith(
        "status 127 and no last line; its last words: libfoo.so: cannot open"
    )
    assert _read(HELLO, ended=Exit(status=None, stderr="")).status is Status.TIMEOUT


def test_a_result_becomes_a_block_of_its_campaign(make):
    plan = BlockPlan(index=4, round=2, position=0, attempt=1, label="orig")
    result = _read(HELLO, _reading("before", 20), SAMPLES, _reading("after", 40), END)
    fields = {
        "campaign_id": make.campaign().campaign_id,
        "plan": plan,
        "arm": make.arm("orig"),
        "started_utc": "2026-03-01T12:00:00+00:00",
        "harness_version": "1+abc",
    }
    block = block_of(result, **fields, extra_flags=frozenset({Flag.THROTTLED}))
    assert block.key == (make.campaign().campaign_id, 4, 1)
    assert block.median_ns == 25
    assert (block.round, block.engine, block.cpu_mask) == (2, "executorch", 0b10)
    # Sample 0 ran on CPU 0, which the arm does not allow.
    assert block.flags == {Flag.THROTTLED, Flag.WRONG_CORE}
    nothing = block_of(_read(ended=Exit(status=None, stderr="")), **fields)
    assert len(nothing.samples_ns) == 0
    assert nothing.flags == {Flag.HARNESS_KILLED, Flag.PARTIAL}
    dead = END | {"status": "crashed", "stage": "load", "signal": 11}
    assert block_of(_read(HELLO, dead), **fields).flags == {Flag.ENGINE_CRASHED, Flag.PARTIAL}


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


# -- reference data ----------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path):
    images = np.arange(2 * 1 * 3 * 4 * 5, dtype=np.float32).reshape(2, 1, 3, 4, 5)
    scores = np.arange(2 * 1 * 6, dtype=np.float32).reshape(2, 1, 6)
    path = tmp_path / "net_reference.npz"
    np.savez(path, input_0=images, output_0=scores)
    return _manifest(path)


def _manifest(path):
    reference = ReferenceData(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size_bytes=path.stat().st_size,
        samples=2,
    )
    parity = Parity(samples=2, relative_linf=0.0, sqnr_db=99.0, eager_relative_linf=0.0, limit=1e-4)
    artifact = Artifact(
        file="net.pte",
        format="pte",
        backend="xnnpack",
        precision="fp32",
        sha256="0" * 64,
        size_bytes=1,
        inputs=(TensorSpec(name="image", shape=(1, 3, 4, 5), layout="NCHW"),),
        outputs=(TensorSpec(name="scores", shape=(1, 6), layout="NC"),),
        delegates=1,
        leftovers=(),
        parity=parity,
        build_seconds={},
    )
    turned = (TensorSpec(name="image", shape=(1, 4, 5, 3), layout="NHWC"),)
    return Manifest(
        stem="net",
        build_id="b",
        model="net",
        variant="",
        dataset="",
        spec={},
        weights="seed:0",
        params=1,
        macs=1,
        passes=(),
        artifacts=(
            artifact,
            dataclasses.replace(artifact, format="tflite", file="net.tflite", inputs=turned),
        ),
        reference=reference,
        versions={},
        git_revision="",
        git_dirty=False,
        created="2026-03-01T12:00:00+00:00",
        folder=path.parent,
    )


def test_reference_files_are_in_the_files_own_layout(manifest, tmp_path):
    pte, tflite = manifest.artifacts
    images = np.arange(120, dtype="<f4").reshape(2, 1, 3, 4, 5)
    folder = tmp_path / "raw"
    files = write_reference(manifest, pte, folder)
    assert files.samples == 2
    assert files.inputs[0].read_bytes() == images.tobytes()
    assert files.expected[0].read_bytes() == np.arange(12, dtype="<f4").tobytes()
    turned = write_reference(manifest, tflite, folder)
    assert turned.inputs[0].read_bytes() == images.transpose(0, 1, 3, 4, 2).tobytes()
    assert turned.expected == files.expected
    before = os.stat(files.inputs[0])
    write_reference(manifest, pte, folder)
    assert os.stat(files.inputs[0]).st_mtime_ns == before.st_mtime_ns


def test_reference_data_that_was_changed_is_refused(manifest, tmp_path, refusal):
    path = manifest.path(manifest.reference)
    path.write_bytes(path.read_bytes() + b"x")
    refusal(
        IntegrityError,
        lambda: write_reference(manifest, manifest.artifacts[0], tmp_path),
        "net_reference.npz",
        "build again",
    )
    path.unlink()
    refusal(
        IntegrityError,
        lambda: write_reference(manifest, manifest.artifacts[0], tmp_path),
        "is missing",
    )


def test_reference_data_that_does_not_fit_is_refused(manifest, tmp_path, refusal):
    pte = manifest.artifacts[0]
    wider = (TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),)
    other = dataclasses.replace(pte, inputs=wider)
    refusal(
        InputError,
        lambda: write_reference(manifest, other, tmp_path),
        "has shape (2, 1, 3, 4, 5)",
        "(2, 1, 3, 8, 8)",
    )
    two = dataclasses.replace(pte, inputs=pte.inputs * 2)
    refusal(InputError, lambda: write_reference(manifest, two, tmp_path), "has no input_1")
