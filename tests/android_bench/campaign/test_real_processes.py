"""The same walk in processes of its own: what only the system can do to a bench or a harness.

The stand-in is started as a program for each block, and the bench that is killed or interrupted
is a process too.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest
from bench_rig import Rig, stored

from android_bench.campaign.campaign import resume_campaign, run_campaign
from android_bench.records import Flag
from android_bench.statistics.design import is_disturbed
from pfd_models.errors import DeviceError

# A bench that goes on for ever: it says when a block is stored.
BENCH = """
import dataclasses, sys
from pathlib import Path
from bench_rig import Rig
from android_bench.campaign.campaign import run_campaign
rig = Rig(Path(sys.argv[1]), in_process=False)
rig.listener.block = lambda blocks, *_: print(blocks, flush=True)
with rig.bench() as bench:
    rules = dataclasses.replace(rig.rules, precision=1e-5, budget_seconds=600.0)
    run_campaign(bench, rig.contest(), rules)
"""

# The command with the stand-in as this computer's harness.
COMMAND = """
import sys
from pathlib import Path
from bench_rig import TOOL, StandinDevice
from scripts import load_script
from android_bench.devices import opening
from android_bench.store import device_lock
device_lock.__wrapped__.__kwdefaults__["folder"] = Path("locks").absolute()
opening.DEVICES = {"host": lambda: StandinDevice(in_process=False)}
sys.exit(load_script(TOOL).main(sys.argv[1:]))
"""


@pytest.fixture
def processes(tmp_path):
    """Two variants, and a device that starts a process for each run."""
    rig = Rig(tmp_path, in_process=False)
    rig.make_set("orig", suffixes=(".pte",))
    rig.make_set("ours", suffixes=(".pte",))
    return rig


@pytest.fixture
def start(repository):
    """Gives what starts a bench of its own; it is gone when the test ends."""
    started = []

    def start(code, *arguments, **options):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "tests/support")]),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=environment,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


class Enough(Exception):
    pass


def stop_at(rig, blocks):
    def block(count, *_):
        if count >= blocks:
            raise Enough

    rig.listener.block = block


def test_a_killed_bench_goes_on_at_its_next_block(processes, start):
    bench = start(BENCH, processes.folder, stdout=subprocess.PIPE)
    for line in bench.stdout:
        if int(line) == 3:
            break
    with pytest.raises(DeviceError, match=rf"in use .*\(pid {bench.pid}\)"), processes.bench():
        pass
    bench.kill()
    bench.wait()
    before = stored(url=processes.url)
    assert len(before.blocks) >= 3
    assert not before.complete
    stop_at(processes, len(before.blocks) + 2)
    with pytest.raises(Enough), processes.bench() as bench:
        resume_campaign(bench, "last")
    after = stored(url=processes.url)
    assert after.blocks[: len(before.blocks)] == before.blocks
    assert [block.index for block in after.blocks] == list(range(len(before.blocks) + 2))
    assert [event.kind for event in after.events] == ["started", "resumed"]


def test_ctrl_c_keeps_what_is_measured(processes, start):
    arguments = ("--artifacts", "artifacts/*.pte", "--budget", "600s", "--precision", "0.001%")
    bench = start(COMMAND, *arguments, stderr=subprocess.PIPE, cwd=processes.folder)
    for line in bench.stderr:
        if "3 blocks" in line:
            break
    bench.send_signal(signal.SIGINT)
    said = bench.stderr.read()
    assert bench.wait() == 130
    assert "Traceback" not in said
    assert "--resume" in said
    before = stored(url=processes.url)
    assert before.events[-1].kind == "interrupted"
    assert len(before.blocks) >= 3
    stop_at(processes, len(before.blocks) + 1)
    with pytest.raises(Enough), processes.bench() as again:
        resume_campaign(again, "last")
    assert stored(url=processes.url).blocks[:-1] == before.blocks


def test_a_harness_killed_from_outside_is_run_again(processes):
    processes.make_set("orig", suffixes=(".pte",), time={"3": "hang"})
    killed, plain = [], processes.device.harness.launch

    def launch(command, *, timeout_s, on_line):
        pid = None

        def heard(text):
            nonlocal pid
            line = json.loads(text)
            pid = line.get("pid", pid)
            on_line(text)
            if line["type"] == "samples" and is_third(command):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

        return plain(command, timeout_s=timeout_s, on_line=heard)

    def is_third(command):
        counter = processes.folder / "calls" / "toynet_orig_cifar100_4_fp32_xnnpack.pte.time"
        return "_orig_" in " ".join(command) and counter.read_text() == "3"

    processes.device._harness = dataclasses.replace(processes.device.harness, launch=launch)
    with processes.bench() as bench:
        result = run_campaign(bench, processes.contest(), processes.rules)
    (bad,) = [block for block in result.blocks if is_disturbed(block)]
    assert len(killed) == 1
    assert bad.flags == {Flag.HARNESS_KILLED, Flag.PARTIAL}
    assert (bad.label.partition(" ")[0], len(bad.run.samples_ns)) == ("orig", 40)
    assert any(b.index == bad.index and b.attempt == bad.attempt + 1 for b in result.blocks)
    assert result.complete
