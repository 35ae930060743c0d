"""The bundle for phones, under an emulator: complete, and computing what this computer computes."""

import json
import os
import re
import select
import signal
import subprocess
from pathlib import Path

import pytest

from android_bench.harness.client import (
    Schedule,
    measure_memory,
    profile_operators,
    run_block,
    verify,
)
from android_bench.harness.heat import HeatSchedule, run_heat
from android_bench.harness.result import Status
from android_bench.native_build.build import SOURCES
from android_bench.native_build.cache import cache_folder
from export.sets.files import sha256_file
from pfd_models.errors import InputError, ParityError

ENGINES = ("executorch", "litert")
each_engine = pytest.mark.parametrize("engine", ENGINES)
SLOW = Schedule(iterations=3, warmup_iterations=1, warmup_seconds=0.0, timeout_seconds=120.0)


def test_the_bundle_lists_every_file_as_it_is(arm64_built):
    bundle = json.loads((arm64_built.folder / "build.json").read_text())["bundle"]
    listed = {f["file"]: f for f in bundle["files"]}
    there = {p.name for p in arm64_built.folder.iterdir() if p.is_file()} - {"build.json"}
    assert set(listed) == there
    for name, file in listed.items():
        path = arm64_built.folder / name
        assert file["size_bytes"] == path.stat().st_size
        assert file["sha256"] == sha256_file(path)
        assert file["licence"]
        assert file["executable"] == bool(path.stat().st_mode & 0o100)
    assert bundle["size_bytes"] == sum(f["size_bytes"] for f in listed.values())
    origins = {f["origin"] for f in listed.values()}
    assert origins == {"pfd-mobile", "executorch", "ai-edge-litert", "glibc", "gcc"}
    for text in bundle["licence_texts"].values():
        assert (arm64_built.folder / text).stat().st_size > 500


def test_no_path_of_this_computer_is_in_the_bundle(arm64_built):
    readelf = subprocess.run(
        ["readelf", "-d", *map(str, sorted(arm64_built.folder.glob("pfd_*")))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    ours = sorted(arm64_built.folder.glob("pfd_*"))
    here = [str(SOURCES.parent), str(cache_folder()), str(Path.home()) + "/"]
    inside = [(p.name, h) for p in ours for h in here if h.encode() in p.read_bytes()]
    assert not inside
    paths = re.findall(r"R(?:UN)?PATH\).*\[(.*)\]", readelf)
    assert paths
    assert all(part.startswith("$ORIGIN") for path in paths for part in path.split(":"))


def test_the_bundle_needs_nothing_but_itself(arm64_harness):
    assert arm64_harness.machine == "aarch64"
    assert [(e.name, e.unavailable) for e in arm64_harness.engines] == [(e, "") for e in ENGINES]


@each_engine
def test_emulated_outputs_equal_pytorchs(arm64_harness, network, engine):
    found = verify(arm64_harness, network.job(engine, limit=2e-6))
    assert found.passed
    assert found.samples == network.samples


@each_engine
def test_a_wrong_input_is_seen_there_too(arm64_harness, network, engine):
    other = {"executorch": "nhwc.bin", "litert": "nchw.bin"}[engine]
    job = network.job(engine, inputs=(str(network.folder / other),))
    with pytest.raises(ParityError):
        verify(arm64_harness, job)


@each_engine
def test_an_emulated_block_is_whole(arm64_harness, network, engine):
    result = run_block(arm64_harness, network.job(engine, threads=2), SLOW)
    assert result.status is Status.DONE
    assert len(result.run.samples_ns) == 3
    assert len(result.tasks) == 2
    assert result.run.before.online_cpus == tuple(range(8))


def test_an_emulated_heat_is_whole(arm64_harness, network):
    jobs = [network.job("executorch"), network.job("litert", threads=2), network.job("executorch")]
    schedule = HeatSchedule(burst=2, seconds=0.5, warmup_iterations=1, warmup_seconds=0.0)
    order = (0, 1, 2, 2, 1, 0)
    heat = run_heat(arm64_harness, jobs, schedule, labels=("a", "b", "twin"), order=order)
    assert heat.status is Status.DONE
    cycles, rest = divmod(len(heat.turns.turn_child), len(order))
    assert rest == 0
    assert heat.turns.turn_child.tolist() == list(order) * cycles
    assert [len(child.tasks) for child in heat.children] == [1, 2, 1]
    assert all(v.passed for child in heat.children for v in child.verifications)


def test_a_child_that_refuses_its_file_is_named_there_too(arm64_harness, network, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    jobs = [network.job("litert"), network.job("litert", model=str(tmp_path / "empty"))]
    schedule = HeatSchedule(burst=1, warmup_iterations=1, warmup_seconds=0.0)
    with pytest.raises(InputError, match=r"^bad, litert on .*empty"):
        run_heat(arm64_harness, jobs, schedule, labels=("good", "bad"), order=(0, 1))


def test_emulated_children_do_not_outlive_their_supervisor(arm64_harness, network):
    schedule = HeatSchedule(burst=1, seconds=600.0, warmup_iterations=1, warmup_seconds=0.0)
    supervisor, children = 0, []

    def kill_it(line):
        nonlocal supervisor
        supervisor = line["pid"]
        listed = Path(f"/proc/{supervisor}/task/{supervisor}/children")
        while len(listed.read_text().split()) < 2:
            os.sched_yield()
        children.extend(os.pidfd_open(int(pid)) for pid in listed.read_text().split())
        os.kill(supervisor, signal.SIGKILL)

    jobs = [network.job("executorch")] * 2
    heat = run_heat(arm64_harness, jobs, schedule, labels=("a", "b"), order=(0, 1), on_line=kill_it)
    assert heat.status is Status.LOST
    for child in children:
        assert select.select([child], [], [], 1.0)[0]
        os.close(child)


@each_engine
def test_the_other_passes_work_there_too(arm64_harness, network, engine):
    profile = profile_operators(arm64_harness, network.job(engine), SLOW, iterations=2)
    assert any("Convolution" in o.name for o in profile.operators)
    memory = measure_memory(arm64_harness, network.job(engine), SLOW)
    assert memory.vm_rss_kib["loaded"] > 0


@each_engine
def test_a_truncated_file_is_refused_there_too(arm64_harness, network, engine, tmp_path):
    whole = Path(network.job(engine).model).read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="refuses the file"):
        run_block(arm64_harness, network.job(engine, model=str(tmp_path / "half")), SLOW)
