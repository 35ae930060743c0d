"""A heat: who takes which turn, what is in it, on which CPUs, and when it ends."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from android_bench.harness.heat import HeatSchedule, run_heat
from android_bench.harness.process import run_here
from android_bench.harness.wire import Status
from pfd_models.errors import DeviceError, InputError

PAIR = (0, 1, 1, 0)
SHORT = HeatSchedule(
    burst=5, seconds=0.05, warmup_iterations=2, warmup_seconds=0.0, timeout_seconds=60.0
)


def names(jobs):
    return [f"child{number}" for number in range(len(jobs))]


def heat_of(awkward, behaviours, schedule=SHORT, *, order=PAIR, **changes):
    jobs = [awkward.job(behaviour) for behaviour in behaviours]
    return run_heat(awkward.harness, jobs, schedule, labels=names(jobs), order=order, **changes)


def with_options(awkward, *before, after=()):
    """The same harness under another program, or with options of its own."""
    command = (*before, *awkward.harness.command, *after)
    return dataclasses.replace(
        awkward, harness=dataclasses.replace(awkward.harness, command=command)
    )


def test_turns_are_taken_in_the_order_that_was_asked_for_and_cycles_are_whole(awkward):
    heat = heat_of(awkward, ["spin x 200", "spin x 300"])
    turns = heat.turns
    assert (heat.status, heat.message, heat.child) == (Status.DONE, "", None)
    cycles, rest = divmod(len(turns.turn_child), len(PAIR))
    assert cycles > 1
    assert rest == 0
    assert turns.turn_child.tolist() == list(PAIR) * cycles
    assert turns.children == ("child0", "child1")


def test_each_child_may_have_a_burst_of_its_own(awkward):
    schedule = dataclasses.replace(SHORT, burst=(5, 2))
    turns = heat_of(awkward, ["spin x 200", "spin x 300"], schedule).turns
    lengths = np.diff(turns.turn_first)
    assert set(lengths[turns.turn_child == 0].tolist()) == {5}
    assert set(lengths[turns.turn_child == 1].tolist()) == {2}
    assert len(turns.samples_ns) == turns.turn_first[-1]


def test_a_burst_has_the_inferences_that_were_asked_for_and_each_is_its_childs(awkward):
    turns = heat_of(awkward, ["spin x 200", "spin x 900"]).turns
    assert np.diff(turns.turn_first).tolist() == [SHORT.burst] * len(turns.turn_child)
    assert len(turns.samples_ns) == len(turns.cpus) == turns.turn_first[-1]
    for child, least_ns in ((0, 200_000), (1, 900_000)):
        samples = turns.samples_ns.reshape(-1, SHORT.burst)[turns.turn_child == child]
        assert samples.min() >= least_ns
        assert np.quantile(samples, 0.1) < 1.1 * least_ns


def test_turns_do_not_overlap_and_hold_their_samples(awkward):
    turns = heat_of(awkward, ["spin x 200", "spin x 200"]).turns
    assert (turns.turn_end_ns[:-1] <= turns.turn_begin_ns[1:]).all()
    inside = turns.samples_ns.reshape(-1, SHORT.burst).sum(axis=1)
    assert (inside <= turns.turn_end_ns - turns.turn_begin_ns).all()


def test_a_heat_ends_with_the_cycle_that_completes_past_its_time(awkward):
    turns = heat_of(awkward, ["spin x 200", "spin x 200"]).turns
    elapsed = turns.turn_end_ns[len(PAIR) - 1 :: len(PAIR)] - turns.turn_begin_ns[0]
    assert elapsed[-1] >= SHORT.seconds * 1e9
    assert (elapsed[:-1] < SHORT.seconds * 1e9).all()


def test_three_variants_and_a_twin_take_turns(awkward):
    order = (0, 1, 3, 2, 1, 2, 0, 3, 2, 3, 1, 0, 3, 0, 2, 1)
    behaviours = ["spin x 100", "spin x 150", "spin x 200", "spin x 100"]
    heat = heat_of(awkward, behaviours, order=order)
    assert heat.turns.turn_child[: len(order)].tolist() == list(order)
    # Of a twin, too, each turn comes from a process of its own.
    pids = [heat.children[n].tasks for n in range(4)]
    assert len(pids) == 4
    twin = heat.turns.samples_ns.reshape(-1, SHORT.burst)[heat.turns.turn_child == 3]
    assert 100_000 <= np.quantile(twin, 0.1) < 110_000


def test_each_child_is_a_process_of_its_own_with_facts_of_its_own(awkward):
    lines = []
    heat = heat_of(awkward, ["spin x 100", "spin x 200"], on_line=lines.append)
    hellos = [line for line in lines if line["type"] == "hello"]
    assert [line.get("child") for line in hellos] == [None, 0, 1]
    assert len({line["pid"] for line in hellos}) == 3
    for child, least_ns in zip(heat.children, (100_000, 200_000), strict=True):
        assert child.status is Status.DONE
        assert child.engine == "awkward"
        assert child.run.load_ns > 0
        assert child.run.first_inference_ns >= least_ns
        assert child.run.warmup_inferences == SHORT.warmup_iterations
        assert child.run.vm_hwm_kib > 1000
        assert child.run.before == heat.before
    assert heat.before.at_ns < heat.turns.turn_begin_ns[0]
    assert heat.turns.turn_end_ns[-1] < heat.after.at_ns


def test_all_children_are_on_the_cpus_that_were_asked_for(awkward):
    cpu = max(os.sched_getaffinity(0))
    jobs = [awkward.job("spin x 100", cpu_mask=1 << cpu) for _ in range(2)]
    heat = run_heat(awkward.harness, jobs, SHORT, labels=names(jobs), order=PAIR)
    assert set(heat.turns.cpus) == {cpu}
    for child in heat.children:
        assert {task.cpus_allowed for task in child.tasks} == {1 << cpu}


def test_a_child_that_strays_from_its_cpus_is_found_out(awkward):
    cpus = os.sched_getaffinity(0)
    if len(cpus) == 1:
        pytest.skip("there is no other CPU to stray to")
    jobs = [awkward.job(what, cpu_mask=1 << min(cpus)) for what in ("ok x", "stray load")]
    with pytest.raises(DeviceError, match=r"child1, .* may run on 0x\w+, not on 0x\w+"):
        run_heat(awkward.harness, jobs, SHORT, labels=names(jobs), order=PAIR)


def test_children_on_different_cpus_are_not_compared(awkward):
    jobs = [awkward.job("ok x", cpu_mask=mask) for mask in (1, 2)]
    with pytest.raises(InputError, match=r"CPU masks \['0x1', '0x2'\]: give all the same"):
        run_heat(awkward.harness, jobs, SHORT, labels=names(jobs), order=PAIR)


def test_one_cpu_is_enough_for_a_heat(awkward):
    cpu = min(os.sched_getaffinity(0))
    heat = heat_of(
        with_options(awkward, "taskset", "-c", str(cpu)), ["spin x 100"] * 3, order=(0, 1, 2)
    )
    assert heat.status is Status.DONE
    assert set(heat.turns.cpus) == {cpu}


def test_an_inference_longer_than_a_heat_is_one_turn_each(awkward):
    schedule = dataclasses.replace(SHORT, burst=1, seconds=0.0)
    turns = heat_of(awkward, ["spin x 60000", "spin x 100"], schedule, order=(0, 1)).turns
    assert turns.turn_child.tolist() == [0, 1]
    assert np.diff(turns.turn_first).tolist() == [1, 1]
    assert turns.samples_ns[0] >= 60_000_000


def test_a_handicap_slows_its_child_only(awkward):
    schedule = dataclasses.replace(SHORT, burst=10, seconds=0.3)
    turns = heat_of(
        awkward, ["spin x 500", "spin x 500"], schedule, handicaps_ppm=(0, 50_000)
    ).turns
    samples = turns.samples_ns.reshape(-1, schedule.burst)
    # The undisturbed samples; others on this machine lengthen the rest.
    plain, slowed = (np.quantile(samples[turns.turn_child == child], 0.05) for child in (0, 1))
    assert abs(slowed / plain - 1.05) < 0.001


def test_who_has_no_handicap_pauses_as_long_outside_its_samples(awkward):
    """Caches cool while somebody spins: both must spin, or the handicap is more than it says."""
    schedule = dataclasses.replace(SHORT, burst=10, seconds=0.1)
    turns = heat_of(
        awkward, ["spin x 500", "spin x 500"], schedule, handicaps_ppm=(0, 500_000)
    ).turns
    lasted = turns.turn_end_ns - turns.turn_begin_ns
    timed = turns.samples_ns.reshape(-1, schedule.burst).sum(axis=1)
    slowed = turns.turn_child == 1
    assert (lasted[~slowed] >= 1.5 * timed[~slowed]).all()
    assert np.quantile(lasted[slowed] / timed[slowed], 0.05) < 1.01


def test_when_the_memory_for_samples_is_full_the_heat_ends_with_a_whole_cycle_and_says_so(awkward):
    # Ten times as long as it takes: a busy machine puts a child aside when it hands over.
    schedule = dataclasses.replace(SHORT, burst=1000, seconds=0.2)
    heat = heat_of(awkward, ["spin x 0", "spin x 0"], schedule)
    assert heat.status is Status.DONE
    assert heat.memory_full
    assert len(heat.turns.turn_child) % len(PAIR) == 0
    assert 0 < heat.turns.turn_end_ns[-1] - heat.turns.turn_begin_ns[0] < schedule.seconds * 1e9
    assert not heat_of(awkward, ["spin x 100", "spin x 100"]).memory_full


def test_nothing_is_written_before_the_heat_is_over(awkward):
    lines = []
    heat = heat_of(awkward, ["chatter invoke 9", "spin x 100"], on_line=lines.append)
    # What an engine prints goes to standard error, not between the lines.
    assert heat.status is Status.DONE
    assert "hello from an engine" in heat.stderr
    assert [line["type"] for line in lines].count("samples") == 1
    assert lines[0]["type"] == "hello"


@pytest.fixture
def clocked(tmp_path):
    """A device whose CPUs tell their frequency."""
    for cpu in os.sched_getaffinity(0):
        folder = tmp_path / f"root/sys/devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{1_800_000 + cpu}\n")
    return tmp_path / "root"


def test_each_turn_tells_the_frequency_of_its_cpu(awkward, clocked):
    cpu = max(os.sched_getaffinity(0))
    there = with_options(awkward, after=("--sys-root", str(clocked)))
    schedule = dataclasses.replace(SHORT, burst=1, seconds=0.1)
    jobs = [awkward.job("spin x 50", cpu_mask=1 << cpu) for _ in range(2)]
    khz = run_heat(
        there.harness, jobs, schedule, labels=names(jobs), order=PAIR
    ).turns.turn_freq_khz
    assert set(khz) <= {1_800_000 + cpu, -1}
    assert (khz > 0).mean() > 0.5
    assert (heat_of(awkward, ["spin x 50"] * 2, schedule).turns.turn_freq_khz == -1).all()


def test_a_frequency_that_is_slow_to_read_is_read_in_few_turns(awkward, clocked, tmp_path):
    source, library = tmp_path / "slow.cpp", tmp_path / "slow.so"
    source.write_text(
        "#include <dlfcn.h>\n#include <unistd.h>\n"
        'extern "C" ssize_t pread(int file, void* text, size_t size, off_t at) {\n'
        "  usleep(1000);\n"
        "  using Read = ssize_t (*)(int, void*, size_t, off_t);\n"
        '  return reinterpret_cast<Read>(dlsym(RTLD_NEXT, "pread"))(file, text, size, at);\n}\n'
    )
    build = ["g++", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", str(library), str(source)]
    subprocess.run(build, check=True)
    slow = with_options(awkward, "env", f"LD_PRELOAD={library}", after=("--sys-root", str(clocked)))
    schedule = dataclasses.replace(SHORT, burst=1, seconds=0.1)
    khz = heat_of(slow, ["spin x 50"] * 2, schedule).turns.turn_freq_khz
    of_one = khz[::2]
    assert of_one[0] > 0
    assert 0 < (khz > 0).mean() < 1 / 20


@pytest.mark.parametrize("engine", ["executorch", "litert"])
def test_real_engines_take_turns_and_are_verified_before_and_after(harness, network, engine):
    jobs = [network.job(engine, threads=threads) for threads in (1, 2, 1)]
    heat = run_heat(harness, jobs, SHORT, labels=names(jobs), order=(0, 1, 2, 2, 1, 0))
    assert heat.status is Status.DONE
    for child, job in zip(heat.children, jobs, strict=True):
        assert [v.when for v in child.verifications] == ["before", "after"]
        assert all(v.passed for v in child.verifications)
        assert len(child.tasks) == job.threads
        assert child.inputs
    assert (heat.turns.samples_ns > 0).all()


@pytest.mark.parametrize("engine", ["executorch", "litert"])
def test_each_thread_has_a_cpu_of_its_own_where_there_are_enough(harness, network, engine):
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        pytest.skip("this computer has one CPU: two threads cannot have one each")
    mask = 1 << first | 1 << others[0]
    jobs = [network.job(engine, threads=2, cpu_mask=mask) for _ in range(2)]
    seen = set()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        schedule = dataclasses.replace(SHORT, seconds=0.5)
        heat = pool.submit(
            run_heat, harness, jobs, schedule, labels=names(jobs), order=(0, 1, 1, 0)
        )
        while not heat.done():
            seen |= masks_of_threads("pfd_bench")
    assert heat.result().status is Status.DONE
    assert {(1 << first, 1 << others[0])} <= seen  # of one process
    assert set(heat.result().turns.cpus) == {first}  # samples end on the main thread's


def masks_of_threads(program):
    """Of each running process of this program that has two threads: what each may run on."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ProcessLookupError):
            if (folder / "comm").read_text().strip() == program:
                masks = tuple(
                    int(re.search(r"Cpus_allowed:\t([0-9a-f]+)", path.read_text())[1], 16)
                    for path in sorted(folder.glob("task/*/status"))
                )
                found |= {masks} if len(masks) == 2 else set()
    return found


def test_engines_of_two_kinds_take_turns(harness, network):
    jobs = [network.job(engine) for engine in ("executorch", "litert")]
    heat = run_heat(harness, jobs, SHORT, labels=names(jobs), order=PAIR)
    assert [child.engine for child in heat.children] == ["executorch", "litert"]
    assert heat.status is Status.DONE


GIVEN = {
    "--burst": "5",
    "--heat-seconds": "0.05",
    "--turn-timeout-seconds": "5",
    "--order": "0,1,1,0",
    "--warmup-iterations": "2",
    "--warmup-seconds": "0",
    "--timeout-seconds": "20",
}
CHILD = ("--child", "--engine", "awkward", "--model", "x", "--threads", "1", "--limit", "1")


def _answer(awkward, given, rest):
    lines = []
    options = [part for option in given.items() for part in option]
    command = [*awkward.harness.command, "--heat", *options, *rest]
    return run_here(command, timeout_s=10, on_line=lines.append).status, json.loads(lines[-1])


@pytest.mark.parametrize("name", GIVEN)
def test_a_number_of_a_heat_has_no_default(awkward, name):
    given = {n: v for n, v in GIVEN.items() if n != name}
    status, end = _answer(awkward, given, [*CHILD, *CHILD])
    assert (status, end["status"]) == (2, "refused")
    assert end["message"].startswith(f"{name} ")
    assert "is missing" in end["message"]


@pytest.mark.parametrize(
    ("changed", "rest", "words"),
    [
        ({"--order": "0,2"}, CHILD * 2, "--order names child 2 and there are 2, counted from 0"),
        ({"--order": "0,0"}, CHILD * 2, "--order has no turn of child 1"),
        ({"--order": "0,,1"}, CHILD * 2, "--order is ''"),
        ({"--order": ""}, CHILD * 2, "--order is ''"),
        ({"--burst": "0"}, CHILD * 2, "--burst is '0'"),
        ({"--burst": "1000000"}, CHILD * 2, "more than 1048576 inferences: make --burst smaller"),
        ({}, ("--child", *CHILD[3:]), "--engine NAME is missing"),
        ({}, ("--child", *CHILD), "--engine NAME is missing"),
        ({}, ("--threads", "1", *CHILD), "options of a file come after --child"),
        ({}, (), "--heat and --child belong together"),
        ({}, (*CHILD, "--time"), "give one of"),
        ({"--order": "0"}, CHILD * 65, "more than 64 --child"),
    ],
)
def test_bad_options_of_a_heat_are_refused_in_one_record(awkward, changed, rest, words):
    status, end = _answer(awkward, GIVEN | changed, rest)
    assert (status, end["status"]) == (2, "refused")
    assert words in end["message"]


def test_children_without_a_heat_are_refused(awkward, always):
    lines = []
    ended = run_here(
        [*awkward.harness.command, *CHILD, *always], timeout_s=10, on_line=lines.append
    )
    assert ended.status == 2
    assert "--heat and --child belong together" in lines[0]
