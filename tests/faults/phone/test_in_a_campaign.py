"""What happens to a phone while it is measured: told by flags, repeated, or only a loss of time."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest
from phone_rig import LASTING, PhoneRig, later

from android_bench.devices.phone.state import CoolDown
from android_bench.errors import ConnectionLostError
from android_bench.records import Flag
from android_bench.statistics.design import is_disturbed
from android_bench.virtual_phone import hooks
from android_bench.virtual_phone import phone as virtual
from pfd_models.errors import DeviceError


def flags_of(result):
    return [set(block.flags) for block in result.blocks]


def test_a_lower_cap_a_lost_core_and_a_jumping_clock_are_seen(rig_on_phone, kept_phone):
    left = rig_on_phone.in_the_middle(
        lambda: hooks.cap_frequency(kept_phone, 4, 1_000_000),
        lambda: hooks.set_core(kept_phone, 7, online=False),
        lambda: hooks.set_clock_offset(kept_phone, 3600),
    )
    result = rig_on_phone.run(schedule=LASTING)
    assert left == []
    first, second, third, *_ = flags_of(result)
    assert {Flag.FREQUENCY_CAP_CHANGED, Flag.THROTTLED} == first
    assert second == {Flag.CORE_LOST}
    assert third == {Flag.CLOCK_JUMP}
    assert [block.attempt for block in result.blocks[:3]] == [0, 1, 2]
    assert result.complete


def test_a_pulled_cable_and_a_lost_network_cost_only_time(rig_on_phone, kept_phone):
    def pull():
        hooks.kill_daemon(kept_phone)
        later(1.5, lambda: hooks.start_daemon(kept_phone))

    def lose_network():
        hooks.set_network(kept_phone, up=False)
        later(1.5, lambda: hooks.set_network(kept_phone, up=True))

    left = rig_on_phone.in_the_middle(pull, lose_network)
    result = rig_on_phone.run(schedule=LASTING)
    assert left == []
    assert not any(flags_of(result))
    assert all(len(block.samples_ns) == 6 for block in result.blocks)
    assert result.complete


def test_a_reboot_is_seen_and_its_block_measured_again(rig_on_phone, kept_phone):
    left = rig_on_phone.in_the_middle(lambda: hooks.reboot(kept_phone))
    result = rig_on_phone.run(schedule=LASTING)
    assert left == []
    bad, again, *_ = result.blocks
    assert bad.flags == {Flag.REBOOTED, Flag.HARNESS_KILLED, Flag.PARTIAL}
    assert (again.index, again.attempt) == (bad.index, bad.attempt + 1)
    assert not any(flags_of(result)[1:])
    assert result.complete


def test_heat_is_seen_waited_out_and_where_it_stays_the_campaign_can_go_on(
    rig_on_phone, kept_phone, one_line
):
    left = rig_on_phone.in_the_middle(lambda: hooks.heat(kept_phone, 41.0, status=2))
    rig_on_phone.device.cooling = CoolDown(interval_s=0.1, patience_s=0.5)
    with pytest.raises(DeviceError) as error:
        rig_on_phone.run(schedule=LASTING)
    one_line(error, 3, "does not cool down", "thermal status 2", "--resume")
    assert left == []
    stopped = rig_on_phone.stored()
    assert not stopped.complete
    assert Flag.THROTTLED in stopped.blocks[0].flags
    rig_on_phone.device.cooling = CoolDown(interval_s=0.1, patience_s=30.0)
    later(1.0, lambda: hooks.heat(kept_phone, 38.0))
    result = rig_on_phone.resume()
    assert result.blocks[: len(stopped.blocks)] == stopped.blocks
    assert result.complete
    assert not is_disturbed(result.blocks[-1])


def test_a_phone_that_does_not_come_back_can_be_resumed(rig_on_phone, kept_phone, one_line):
    device = rig_on_phone.device
    device.reconnect_s = 1.0
    launch = dataclasses.replace(device.harness.launch, reconnect_s=1.0)
    device._harness = dataclasses.replace(device.harness, launch=launch)
    rig_on_phone.in_the_middle(lambda: hooks.kill_daemon(kept_phone))
    with pytest.raises(ConnectionLostError) as error:
        rig_on_phone.run(schedule=LASTING)
    one_line(error, 3, "virtual was gone for 1 s", "--resume")
    assert rig_on_phone.stored().blocks == ()
    hooks.start_daemon(kept_phone)
    rig_on_phone.close()
    result = rig_on_phone.resume()
    assert result.complete
    assert not any(flags_of(result))
    rig_on_phone.close()
    assert rig_on_phone.left_behind() == []


def test_a_daemon_that_dies_while_files_are_sent_costs_only_time(kept_phone, tiny_set, tmp_path):
    rig = PhoneRig(kept_phone, tiny_set, tmp_path)
    transport = rig._make(kept_phone)
    transport.wait(30)
    transport.run("rm -rf /data/local/tmp/pfd")
    transport.close()

    class Killing(list):
        def append(self, text):
            if "libexecutorch_kernels_optimized" in text:
                later(0.05, lambda: hooks.kill_daemon(kept_phone))
                later(0.6, lambda: hooks.start_daemon(kept_phone))
            super().append(text)

    rig.steps = Killing()
    assert rig.device.harness.machine == "aarch64"
    rig.close()
    assert rig.left_behind() == []


DIES = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from android_bench.virtual_phone.phone import VirtualPhone
from phone_rig import PhoneRig
rig = PhoneRig(VirtualPhone(Path({phone!r})), Path({files!r}), Path({folder!r}))
rig.run(budget_seconds=600.0, precision=0.00001)
"""


def test_a_killed_host_goes_on_at_the_next_block(
    rig_on_phone, kept_phone, tiny_set, tmp_path, repository
):
    paths = [str(repository), str(repository / "tests/support")]
    script = DIES.format(
        paths=paths, phone=str(kept_phone.folder), files=str(tiny_set), folder=str(tmp_path)
    )
    host = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and host.poll() is None:
        time.sleep(0.2)
        if rig_on_phone.campaigns() and len(rig_on_phone.stored().blocks) >= 2:
            break
    os.kill(host.pid, signal.SIGKILL)
    said = host.communicate()[1].decode()
    before = rig_on_phone.stored()
    assert len(before.blocks) >= 2, said
    assert not before.complete
    with rig_on_phone.bench() as bench:
        from android_bench.campaign.campaign import resume_campaign

        class Enough(Exception):
            pass

        def two_more(blocks, disturbed, decision, elapsed_s):
            if blocks >= len(before.blocks) + 2:
                raise Enough

        rig_on_phone.listener.block = two_more
        with pytest.raises(Enough):
            resume_campaign(bench, "last")
    after = rig_on_phone.stored()
    assert after.blocks[: len(before.blocks)] == before.blocks
    indices = [(block.index, block.attempt) for block in after.blocks]
    assert len(indices) == len(set(indices)) == len(before.blocks) + 2
    assert [e.kind for e in after.events if e.kind in ("started", "resumed")] == [
        "started",
        "resumed",
    ]
    rig_on_phone.close()
    assert rig_on_phone.left_behind() == []


def test_two_phones_at_once_each_in_its_lane(
    kept_phone, adb_bench, tiny_set, tmp_path, monkeypatch
):
    from bench_rig import own_locks

    from android_bench.store import open_store
    from android_bench.transports import adb_shell

    own_locks(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    with virtual.start() as other:
        dials = {"left": kept_phone, "right": other}

        def opened(serial, server=None):
            if serial not in dials:
                raise ConnectionLostError(f"{serial} is offline: connect it")
            return adb_shell.over_socket(serial, lambda limit_s: dials[serial].dial())

        monkeypatch.setattr("android_bench.campaign.opening.open_transport", opened)
        files = ("--artifacts", tiny_set / "*.pte", "--budget", "1s")
        assert adb_bench("--serial", "left,gone,right", *files) == 3
    assert "gone: gone is offline" in adb_bench.err
    assert "left: " in adb_bench.err
    assert "right: " in adb_bench.err
    assert adb_bench.out.count("is emulated") == 2
    with open_store("bench.sqlite") as store:
        found = {store.device(c.device_id).serial for c in store.campaigns()}
        assert all(len(store.blocks(c.campaign_id)) >= 2 for c in store.campaigns())
    assert found == {"left", "right"}
    assert PhoneRig(kept_phone, tiny_set, tmp_path).left_behind() == []
