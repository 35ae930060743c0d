import time

import pytest

from android_bench.devices.phone.state import (
    CoolDown,
    Shift,
    changes,
    snapshot,
    wait_until_cool,
)
from android_bench.transports.local import LocalTransport
from android_bench.virtual_phone import hooks
from pfd_models.errors import DeviceError


def shifts(before, after):
    return {change.shift for change in changes(before, after)}


class Clock:
    """Seconds that pass only when somebody sleeps, and what happens meanwhile."""

    def __init__(self, events=()):
        self.now = 0.0
        self.events = list(events)

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        if self.events:
            self.events.pop(0)()


def test_a_snapshot_reads_everything(transport):
    state = snapshot(transport)
    assert state.online_cpus == tuple(range(8))
    assert state.freq_cap_khz == dict.fromkeys(range(4), 2_000_000) | dict.fromkeys(
        range(4, 8), 2_600_000
    )
    assert state.temp_mc["mtktscpu"] == 38_500
    assert state.hottest_mc == 38_500
    assert state.thermal_status == 0
    assert abs(state.clock_s - time.time()) < 30


def test_two_snapshots_of_a_quiet_phone_show_no_change(direct):
    assert changes(snapshot(direct), snapshot(direct)) == ()


def test_a_thermal_status_that_rises_is_throttling(direct, phone):
    before = snapshot(direct)
    hooks.heat(phone, 47.0, status=1)
    (change,) = changes(before, snapshot(direct))
    assert change.shift is Shift.THROTTLED
    assert "from 0 to 1" in change.detail


def test_a_lowered_cap_is_throttling_and_a_raised_one_only_a_change(direct, phone):
    before = snapshot(direct)
    hooks.cap_frequency(phone, 4, 1_700_000)
    lowered = snapshot(direct)
    assert shifts(before, lowered) == {Shift.FREQUENCY_CAP_CHANGED, Shift.THROTTLED}
    assert any("cores 4, 5, 6, 7" in change.detail for change in changes(before, lowered))
    hooks.cap_frequency(phone, 4, 2_600_000)
    assert shifts(lowered, snapshot(direct)) == {Shift.FREQUENCY_CAP_CHANGED}


def test_a_core_that_goes_offline_is_lost(direct, phone):
    before = snapshot(direct)
    hooks.set_core(phone, 7, online=False)
    after = snapshot(direct)
    assert shifts(before, after) == {Shift.CORE_LOST}
    hooks.set_core(phone, 7, online=True)
    assert shifts(after, snapshot(direct)) == set()


@pytest.mark.parametrize("seconds", [3600, -86_400])
def test_a_clock_jump_is_seen_in_both_directions(direct, phone, seconds):
    before = snapshot(direct)
    hooks.set_clock_offset(phone, seconds)
    (change,) = changes(before, snapshot(direct))
    assert change.shift is Shift.CLOCK_JUMP
    assert f"{seconds // 100:+d}"[:3] in change.detail


def test_after_a_reboot_nothing_else_is_compared(direct, phone):
    before = snapshot(direct)
    hooks.cap_frequency(phone, 4, 1_700_000)
    hooks.reboot(phone)
    direct.wait(20)
    assert shifts(before, snapshot(direct)) == {Shift.REBOOTED}


def test_the_gate_waits_until_it_is_cool(direct, phone):
    hooks.heat(phone, 47.0, status=2)
    clock = Clock([lambda: hooks.heat(phone, 44.0, status=1), lambda: hooks.heat(phone, 36.0)])
    gate = wait_until_cool(direct, CoolDown(), clock=clock, sleep=clock.sleep)
    assert (gate.still_hot, gate.blind) == ("", False)
    assert gate.waited_s == 4.0
    assert gate.state.hottest_mc == 36_000


def test_the_gate_looks_at_temperature_when_asked(direct, phone):
    hooks.heat(phone, 41.0)
    clock = Clock([lambda: hooks.heat(phone, 39.0)])
    rule = CoolDown(highest_mc=40_000)
    assert wait_until_cool(direct, rule, clock=clock, sleep=clock.sleep).waited_s == 2.0


def test_the_gate_gives_up_and_says_why(direct, phone):
    hooks.heat(phone, 47.0, status=3)
    clock = Clock()
    rule = CoolDown(patience_s=5.0)
    gate = wait_until_cool(direct, rule, clock=clock, sleep=clock.sleep)
    assert gate.still_hot == "thermal status 3, above 0"
    assert clock.now <= 5.0


def test_a_hanging_thermal_service_leaves_the_zones(direct, phone, monkeypatch):
    from android_bench.devices.phone import state as phone_conditions

    quick = phone_conditions._READ.replace("timeout 5", "timeout 1")
    monkeypatch.setattr(phone_conditions, "_READ", quick)
    hooks.hang_dumpsys(phone, hanging=True)
    state = snapshot(direct)
    assert state.thermal_status is None
    assert state.hottest_mc == 38_500


def test_a_device_that_tells_nothing_gets_the_fixed_pause():
    transport = LocalTransport()
    state = snapshot(transport)
    if state.temp_mc:
        pytest.skip("this computer's temperatures can be read")
    clock = Clock()
    gate = wait_until_cool(
        transport, CoolDown(fallback_pause_s=7.0), clock=clock, sleep=clock.sleep
    )
    assert gate.blind
    assert gate.waited_s == 7.0


def test_a_zone_that_is_no_temperature_is_left_out(direct, phone):
    path = "sys/class/thermal/thermal_zone2/temp"
    phone.request("write", path=path, text="-274000000\n")
    assert "mtktsAP" not in snapshot(direct).temp_mc
    phone.request("write", path=path, text="nonsense\n")
    assert "mtktsAP" not in snapshot(direct).temp_mc
    phone.request("write", path=path, text="33000\n")
    assert snapshot(direct).temp_mc["mtktsAP"] == 33_000


def test_zones_of_one_name_are_kept_apart(direct, phone):
    phone.request("write", path="sys/class/thermal/thermal_zone2/type", text="mtktscpu\n")
    state = snapshot(direct)
    assert (state.temp_mc["mtktscpu"], state.temp_mc["mtktscpu#2"]) == (38_500, 33_200)


def test_an_answer_that_is_no_state_is_an_error(one_line):
    class Mute(LocalTransport):
        def run(self, command, *, timeout_s=30.0):
            return super().run("echo what?; false")

    with pytest.raises(DeviceError) as error:
        snapshot(Mute())
    one_line(error, 3, "host", "what?")
