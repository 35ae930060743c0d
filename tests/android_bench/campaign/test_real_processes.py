"""The same walk in processes of its own: what only the system can do to a bench or a harness."""

import dataclasses
import json
import os
import signal

import pytest
from bench_process import wait_for
from bench_rig import Rig, stored

from android_bench.campaign.campaign import resume_campaign, run_campaign
from android_bench.records import Flag
from android_bench.statistics.design import is_disturbed
from pfd_models.errors import DeviceError

FOR_EVER = ("--artifacts", "artifacts/*.pte", "--budget", "600s", "--half-width", "0.001%")
FOR_EVER += ("--pairing", "blocks")


@pytest.fixture
def processes(tmp_path):
    """Two variants, and a device that starts a program for each run."""
    rig = Rig(tmp_path, in_process=False)
    rig.make_set("orig", suffixes=(".pte",))
    rig.make_set("ours", suffixes=(".pte",))
    return rig


class Enough(Exception):
    pass


def resume_for_two_blocks(rig):
    begun = []

    def block(*facts):
        begun.append(facts)
        if len(begun) == 2:
            raise Enough

    rig.listener.block = block
    with pytest.raises(Enough), rig.bench() as bench:
        resume_campaign(bench, "last")
    return stored(url=rig.url)


def test_a_killed_bench_holds_its_device_until_then_and_goes_on_at_its_next_block(
    processes, start_bench
):
    bench = start_bench("stand-in", *FOR_EVER)
    wait_for(bench, "3 blocks")
    with pytest.raises(DeviceError, match=rf"in use .*\(pid {bench.pid}\)"), processes.bench():
        pass
    bench.kill()
    bench.wait()
    before = stored(url=processes.url)
    assert len(before.blocks) >= 3
    assert not before.complete
    after = resume_for_two_blocks(processes)
    assert after.blocks[:-2] == before.blocks
    assert [block.index for block in after.blocks] == list(range(len(before.blocks) + 2))
    assert [event.kind for event in after.events] == ["started", "resumed"]


def test_ctrl_c_keeps_what_is_measured(processes, start_bench):
    bench = start_bench("stand-in", *FOR_EVER)
    wait_for(bench, "3 blocks")
    bench.send_signal(signal.SIGINT)
    said = bench.stderr.read()
    assert bench.wait() == 130
    assert "Traceback" not in said
    assert "--resume" in said
    before = stored(url=processes.url)
    assert before.events[-1].kind == "interrupted"
    assert len(before.blocks) >= 3
    assert resume_for_two_blocks(processes).blocks[:-2] == before.blocks


def test_a_harness_killed_from_outside_is_run_again(processes):
    processes.make_set("orig", suffixes=(".pte",), time={"3": "hang"})
    counter = processes.folder / "calls" / "toynet_orig_cifar100_4_fp32_xnnpack.pte.time"
    killed, plain = [], processes.device.harness.launch

    def launch(command, *, timeout_s, on_line, quiet_s=0.0):
        pids = []

        def heard(text):
            line = json.loads(text)
            pids.extend([line["pid"]] if line["type"] == "hello" else [])
            on_line(text)
            hangs = line["type"] == "samples" and counter.exists() and counter.read_text() == "3"
            if hangs and not killed:
                os.kill(pids[0], signal.SIGKILL)
                killed.extend(pids)

        return plain(command, timeout_s=timeout_s, on_line=heard)

    processes.device._harness = dataclasses.replace(processes.device.harness, launch=launch)
    with processes.bench() as bench:
        result = run_campaign(bench, processes.contest(), processes.rules)
    (bad,) = [block for block in result.blocks if is_disturbed(block)]
    assert len(killed) == 1
    assert bad.flags == {Flag.HARNESS_KILLED, Flag.PARTIAL}
    assert (bad.label.partition(" ")[0], len(bad.run.samples_ns)) == ("orig", 40)
    assert any(b.index == bad.index and b.attempt == bad.attempt + 1 for b in result.blocks)
    assert result.complete
