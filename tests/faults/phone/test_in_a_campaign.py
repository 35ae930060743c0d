"""What happens to a phone while it is measured: told by flags, repeated, or only a loss of time."""

import dataclasses
import subprocess
import sys

import pytest
from phone_rig import BUSY, LASTING, PhoneRig, later, over_adb_shell

from android_bench.campaign.campaign import resume_campaign
from android_bench.errors import ConnectionLostError
from android_bench.records import Flag
from android_bench.statistics.design import is_disturbed
from android_bench.store import open_store
from android_bench.transports import adb_shell
from android_bench.virtual_phone import hooks
from android_bench.virtual_phone import phone as virtual
from pfd_models.errors import DeviceError


def flags_of(result):
    return [set(block.flags) for block in result.blocks]


def test_what_happens_to_a_block_is_told_and_an_outage_costs_only_time(rig_on_phone, kept_phone):
    def pull_the_cable():
        hooks.kill_daemon(kept_phone)
        later(1.5, lambda: hooks.start_daemon(kept_phone))

    def lose_the_network():
        hooks.set_network(kept_phone, up=False)
        later(1.5, lambda: hooks.set_network(kept_phone, up=True))

    left = rig_on_phone.in_the_middle(
        lambda: hooks.cap_frequency(kept_phone, 4, 1_000_000),
        lambda: hooks.set_core(kept_phone, 7, online=False),
        pull_the_cable,
        lambda: hooks.set_clock_offset(kept_phone, 3600),
        lambda: hooks.reboot(kept_phone),
        lose_the_network,
    )
    result = rig_on_phone.run(schedule=LASTING)
    assert left == []
    assert [(block.index, block.attempt, set(block.flags)) for block in result.blocks] == [
        (0, 0, {Flag.FREQUENCY_CAP_CHANGED, Flag.THROTTLED}),
        (0, 1, {Flag.CORE_LOST}),
        (0, 2, set()),
        (1, 0, {Flag.CLOCK_JUMP}),
        (1, 1, {Flag.REBOOTED, Flag.HARNESS_KILLED, Flag.PARTIAL}),
        (1, 2, set()),
    ]
    whole = [block for block in result.blocks if Flag.PARTIAL not in block.flags]
    assert [len(block.run.samples_ns) for block in whole] == [LASTING.iterations] * 5
    assert result.complete


@pytest.mark.slow  # a flag is told above, a wait that is too long in tests/android_bench/devices
def test_heat_is_seen_and_where_it_stays_the_campaign_can_go_on(rig_on_phone, kept_phone, one_line):
    left = rig_on_phone.in_the_middle(lambda: hooks.heat(kept_phone, 41.0, status=2))
    limits = dataclasses.replace(BUSY, cooling_patience_s=0.5)
    with pytest.raises(DeviceError) as error:
        rig_on_phone.run(schedule=LASTING, limits=limits)
    one_line(error, 3, "does not cool down", "thermal status 2", "--resume")
    assert left == []
    stopped = rig_on_phone.stored()
    assert not stopped.complete
    assert Flag.THROTTLED in stopped.blocks[0].flags
    hooks.heat(kept_phone, 38.0)
    result = rig_on_phone.resume()
    assert result.blocks[: len(stopped.blocks)] == stopped.blocks
    assert result.complete
    assert not is_disturbed(result.blocks[-1])


@pytest.mark.slow  # a phone that is lost is tested by the launcher, resuming on this computer
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


def test_a_daemon_that_dies_while_files_are_sent_costs_only_time(rig_on_phone, kept_phone):
    large = "libexecutorch_kernels_optimized"
    assert rig_on_phone.device.harness.machine == "aarch64"
    rig_on_phone.close()
    transport = over_adb_shell(kept_phone)
    transport.run(f"rm /data/local/tmp/pfd/harness/*/{large}*")
    transport.close()

    class Killing(list):
        def append(self, text):
            if large in text:
                later(0.05, lambda: hooks.kill_daemon(kept_phone))
                later(0.6, lambda: hooks.start_daemon(kept_phone))
            super().append(text)

    rig_on_phone.steps = Killing()
    assert rig_on_phone.device.harness.engine("executorch").unavailable == ""
    assert [large in step for step in rig_on_phone.steps] == [True]
    rig_on_phone.close()
    assert rig_on_phone.left_behind() == []


DIES = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from android_bench.virtual_phone.phone import VirtualPhone
from phone_rig import PhoneRig
rig = PhoneRig(VirtualPhone(Path({phone!r})), Path({files!r}), Path({folder!r}))
rig.listener.block = lambda blocks, *_: print(blocks, flush=True)
rig.run(budget_seconds=600.0, precision=0.00001)
"""


@pytest.mark.slow  # a killed host is tested on this computer, a lost phone in this file
def test_a_killed_host_goes_on_at_the_next_block(
    rig_on_phone, kept_phone, tiny_set, tmp_path, repository
):
    paths = [str(repository), str(repository / "tests/support")]
    script = DIES.format(
        paths=paths, phone=str(kept_phone.folder), files=str(tiny_set), folder=str(tmp_path)
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as host:
        try:
            assert host.stdout.readline() == b"1\n"
        finally:
            host.kill()
    before = rig_on_phone.stored()
    assert len(before.blocks) >= 1
    assert not before.complete

    class Enough(Exception):
        pass

    def one_more(*facts):
        raise Enough

    rig_on_phone.listener.block = one_more
    with pytest.raises(Enough), rig_on_phone.bench() as bench:
        resume_campaign(bench, "last")
    after = rig_on_phone.stored()
    assert after.blocks[:-1] == before.blocks
    indices = [(block.index, block.attempt) for block in after.blocks]
    assert len(indices) == len(set(indices)) == len(before.blocks) + 1
    assert [e.kind for e in after.events if e.kind in ("started", "resumed")] == [
        "started",
        "resumed",
    ]
    rig_on_phone.close()
    assert rig_on_phone.left_behind() == []


@pytest.mark.slow  # lanes are tested in-process, one phone alone in this file
def test_two_phones_at_once_each_in_its_lane(
    virtual_is_ours, adb_bench, tiny_set, tmp_path, monkeypatch
):
    with virtual.start() as other:
        dials = {"left": virtual_is_ours, "right": other}

        def opened(serial, *, cancellation):
            if serial not in dials:
                raise ConnectionLostError(f"{serial} is offline: connect it")
            transport = adb_shell.over_socket(serial, lambda deadline: dials[serial].dial())
            return transport.cancelled_by(cancellation)

        monkeypatch.setattr("android_bench.campaign.opening.open_transport", opened)
        files = ("--artifacts", tiny_set / "*.pte", "--budget", "1s")
        assert adb_bench("--serial", "left,gone,right", *files) == 3
    assert "gone: gone is offline" in adb_bench.err
    assert "left: " in adb_bench.err
    assert "right: " in adb_bench.err
    assert adb_bench.out.count("is emulated") == 2
    with open_store("bench.sqlite") as store:
        found = {store.device(c.device_id).serial for c in store.campaigns()}
        assert all(len(store.heats(c.campaign_id)) >= 1 for c in store.campaigns())
    assert found == {"left", "right"}
    assert PhoneRig(virtual_is_ours, tiny_set, tmp_path).left_behind() == []
