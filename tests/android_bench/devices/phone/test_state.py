import time

import pytest

from android_bench.devices.phone import state as phone_state
from android_bench.devices.phone.state import read_state
from android_bench.devices.watch import find_changes, wait_until_calm
from android_bench.records import Flag, Limits
from android_bench.transports.local import LocalTransport
from android_bench.virtual_phone import hooks
from pfd_models.errors import DeviceError


def test_a_snapshot_reads_everything(transport):
    state = read_state(transport)
    assert state.online_cpus == tuple(range(8))
    assert state.freq_cap_khz == dict.fromkeys(range(4), 2_000_000) | dict.fromkeys(
        range(4, 8), 2_600_000
    )
    assert state.temp_mc["mtktscpu"] == 38_500
    assert max(state.temp_mc.values()) == 38_500
    assert state.thermal_status == 0
    assert abs(state.clock_s - time.time()) < 30


def flags(before, after):
    return find_changes(before.reading(None, 0), after.reading(before, 0))


def test_two_states_of_a_quiet_phone_show_no_change(direct):
    assert flags(read_state(direct), read_state(direct)) == frozenset()


def test_a_thermal_status_that_rises_is_throttling(direct, phone):
    before = read_state(direct)
    hooks.heat(phone, 47.0, status=1)
    assert flags(before, read_state(direct)) == {Flag.THROTTLED}


def test_a_lowered_cap_is_throttling_and_a_raised_one_only_a_change(direct, phone):
    before = read_state(direct)
    hooks.cap_frequency(phone, 4, 1_700_000)
    lowered = read_state(direct)
    assert flags(before, lowered) == {Flag.FREQUENCY_CAP_CHANGED, Flag.THROTTLED}
    hooks.cap_frequency(phone, 4, 2_600_000)
    assert flags(lowered, read_state(direct)) == {Flag.FREQUENCY_CAP_CHANGED}


def test_a_core_that_goes_offline_is_lost(direct, phone):
    before = read_state(direct)
    hooks.set_core(phone, 7, online=False)
    after = read_state(direct)
    assert flags(before, after) == {Flag.CORE_LOST}
    hooks.set_core(phone, 7, online=True)
    assert flags(after, read_state(direct)) == frozenset()


@pytest.mark.parametrize("seconds", [3600, -86_400])
def test_a_clock_jump_is_seen_in_both_directions(direct, phone, seconds):
    before = read_state(direct)
    hooks.set_clock_offset(phone, seconds)
    assert flags(before, read_state(direct)) == {Flag.CLOCK_JUMP}


def test_after_a_reboot_nothing_else_is_compared(direct, phone):
    before = read_state(direct)
    hooks.cap_frequency(phone, 4, 1_700_000)
    hooks.reboot(phone)
    direct.wait(20)
    assert flags(before, read_state(direct)) == {Flag.REBOOTED}


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


ANY = Limits()


def wait(direct, clock, limits=ANY):
    read = lambda: read_state(direct).reading(None, 0)  # noqa: E731
    return wait_until_calm(read, limits, patience_s=0, clock=clock, sleep=clock.sleep)


def test_a_block_waits_until_the_thermal_service_says_it_is_cool(direct, phone):
    hooks.heat(phone, 47.0, status=2)
    clock = Clock([lambda: hooks.heat(phone, 44.0, status=1), lambda: hooks.heat(phone, 36.0)])
    calm = wait(direct, clock)
    assert (calm.unrest, calm.waited_s, calm.reading.hottest_mc) == ("", 2.0, 36_000)


@pytest.fixture
def impatient(monkeypatch):
    """Wait for a service that hangs one second and not five."""
    quick = phone_state._READ.replace("timeout 5", "timeout 1")
    assert quick != phone_state._READ
    monkeypatch.setattr(phone_state, "_READ", quick)


@pytest.mark.usefixtures("impatient")
def test_a_phone_with_zones_and_no_thermal_service_waits_for_its_temperature(direct, phone):
    hooks.hang_dumpsys(phone, hanging=True)
    hooks.heat(phone, 98.0)
    clock = Clock([lambda: hooks.heat(phone, 39.0)])
    calm = wait(direct, clock, Limits(start_temperature_mc=46_500))
    assert calm.reading.thermal_status is None
    assert calm.waited_s == 1.0


def test_a_phone_that_stays_hot_says_why(direct, phone):
    hooks.heat(phone, 47.0, status=3)
    clock = Clock()
    calm = wait(direct, clock, Limits(cooling_patience_s=5.0))
    assert calm.heat == "thermal status 3, above 0"
    assert clock.now <= 5.0


@pytest.mark.usefixtures("impatient")
def test_a_hanging_thermal_service_leaves_the_zones(direct, phone):
    hooks.hang_dumpsys(phone, hanging=True)
    state = read_state(direct)
    assert state.thermal_status is None
    assert max(state.temp_mc.values()) == 38_500


def test_a_zone_that_is_no_temperature_is_left_out(direct, phone):
    path = "sys/class/thermal/thermal_zone2/temp"
    phone.request("write", path=path, text="-274000000\n")
    assert "mtktsAP" not in read_state(direct).temp_mc
    phone.request("write", path=path, text="nonsense\n")
    assert "mtktsAP" not in read_state(direct).temp_mc
    phone.request("write", path=path, text="33000\n")
    assert read_state(direct).temp_mc["mtktsAP"] == 33_000


def test_zones_of_one_name_are_kept_apart(direct, phone):
    phone.request("write", path="sys/class/thermal/thermal_zone2/type", text="mtktscpu\n")
    state = read_state(direct)
    assert (state.temp_mc["mtktscpu"], state.temp_mc["mtktscpu#2"]) == (38_500, 33_200)


def test_an_answer_that_is_no_state_is_an_error(one_line):
    class Mute(LocalTransport):
        def run(self, command, *, timeout_s=30.0):
            return super().run("echo what?; false")

    with pytest.raises(DeviceError) as error:
        read_state(Mute())
    one_line(error, 3, "host", "what?")
