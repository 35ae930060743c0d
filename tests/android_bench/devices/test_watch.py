import numpy as np
import pytest

from android_bench.devices.watch import (
    find_changes,
    find_flags,
    find_heat,
    find_load,
    wait_until_calm,
    watch_block,
)
from android_bench.records import Flag, Limits, TimedRun
from pfd_models.errors import DeviceError

LIMITS = Limits(start_temperature_mc=50_000)


def judge(make, after, cpus=(1, 1), mask=0b10, before=None):
    run = TimedRun(
        samples_ns=np.ones(len(cpus), np.int64),
        cpus=np.array(cpus, np.int16),
        before=before or make.reading(1),
        after=make.reading(2, **after),
        harness_version="1",
    )
    return find_flags(run, mask, LIMITS)


def test_an_undisturbed_block_has_no_flag(make):
    assert judge(make, {"other_busy_fraction": 0.1}) == frozenset()
    unreadable = {
        "freq_khz": {},
        "freq_cap_khz": {},
        "temp_mc": {},
        "online_cpus": (),
        "steal_fraction": None,
        "other_busy_fraction": None,
    }
    assert judge(make, unreadable, cpus=(-1, -1)) == frozenset()


@pytest.mark.parametrize(
    ("after", "flags"),
    [
        ({"khz": 2_500_000}, {Flag.THROTTLED}),
        ({"khz": 2_800_000}, set()),
        ({"freq_khz": {0: 1, 1: 2_900_000}}, set()),  # CPU 0 did not run it
        (
            {"freq_cap_khz": {0: 2_000_000, 1: 3_000_000}},
            {Flag.FREQUENCY_CAP_CHANGED, Flag.THROTTLED},
        ),
        ({"freq_cap_khz": {0: 3_000_000, 1: 3_100_000}}, {Flag.FREQUENCY_CAP_CHANGED}),
        ({"online_cpus": (0, 1, 2)}, {Flag.CORE_LOST}),
        ({"temp_c": 53.5}, {Flag.TEMPERATURE_ROSE}),
        ({"temp_c": 52.5}, set()),
        ({"other_busy_fraction": 0.2}, {Flag.LOADED_HOST}),
        ({"other_busy_fraction": 0.0, "steal_fraction": 0.03}, {Flag.LOADED_HOST}),
    ],
)
def test_each_disturbance_has_its_flag(make, after, flags):
    before = make.reading(1, other_busy_fraction=0.9)  # the load before the block is not its own
    after = {"other_busy_fraction": 0.05} | after
    assert judge(make, after, before=before) == flags


def test_a_sample_on_a_forbidden_core_is_flagged(make):
    calm = {"other_busy_fraction": 0.0}
    assert judge(make, calm, cpus=(1, 2)) == {Flag.WRONG_CORE}
    assert judge(make, calm, cpus=(1, -1)) == frozenset()
    assert judge(make, calm, cpus=(1, 2), mask=0) == frozenset()


def test_heat_and_load_say_why(make):
    assert find_load(make.reading(other_busy_fraction=0.1), LIMITS) == ""
    assert find_heat(make.reading(temp_c=50.1), LIMITS) == "50.1 °C, above 50.0 °C"
    assert "other processes use 40%" in find_load(make.reading(other_busy_fraction=0.4), LIMITS)
    assert "hypervisor takes 30%" in find_load(
        make.reading(other_busy_fraction=0, steal_fraction=0.3), LIMITS
    )
    assert find_heat(make.reading(temp_c=99), Limits()) == ""
    assert find_heat(make.reading(thermal_status=1), Limits()) == "thermal status 1, above 0"
    assert find_heat(make.reading(thermal_status=1), Limits(start_thermal_status=1)) == ""


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        ({"thermal_status": 0}, {"thermal_status": 1}, {Flag.THROTTLED}),
        ({"thermal_status": 2}, {"thermal_status": 1}, set()),
        ({"thermal_status": None}, {"thermal_status": 1}, set()),
        ({"asleep_ns": 0}, {"asleep_ns": 5_000_000}, {Flag.CLOCK_JUMP}),
        ({"asleep_ns": 7_000_000}, {"asleep_ns": 7_000_100}, set()),
        ({"wall_ahead_s": 100.0}, {"wall_ahead_s": -86_300.0}, {Flag.CLOCK_JUMP}),
        ({"wall_ahead_s": 100.0}, {"wall_ahead_s": 101.5}, set()),
        ({"boot_id": "a"}, {"boot_id": "b", "online_cpus": (0,)}, {Flag.REBOOTED}),
        ({"boot_id": ""}, {"boot_id": "b"}, set()),
    ],
)
def test_each_change_of_a_device_has_its_flag(make, before, after, flags):
    assert find_changes(make.reading(1, **before), make.reading(2, **after)) == flags


class Clock:
    now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_a_block_waits_until_the_device_is_cool(make):
    clock = Clock()
    calm = wait_until_calm(
        lambda: make.reading(temp_c=60 - (clock.now - 100), other_busy_fraction=0),
        LIMITS,
        patience_s=60,
        clock=clock,
        sleep=clock.sleep,
    )
    assert (calm.waited_s, calm.unrest, calm.reading.hottest_mc) == (10, "", 50_000)


def test_patience_with_load_ends_and_says_what_was_wrong(make):
    clock = Clock()
    calm = wait_until_calm(
        lambda: make.reading(other_busy_fraction=0.5),
        LIMITS,
        patience_s=5,
        clock=clock,
        sleep=clock.sleep,
    )
    assert calm.waited_s == 5
    assert (calm.heat, calm.load) == ("", "other processes use 50% of the CPUs")


def test_heat_is_waited_out_longer_than_load_and_then_refused(make):
    clock = Clock()
    limits = Limits(start_temperature_mc=50_000, cooling_patience_s=30)
    read = lambda: make.reading(temp_c=98, other_busy_fraction=0)  # noqa: E731
    calm = wait_until_calm(read, limits, patience_s=5, clock=clock, sleep=clock.sleep)
    assert (calm.waited_s, calm.heat) == (30, "98.0 °C, above 50.0 °C")
    limits = Limits(start_temperature_mc=50_000, cooling_patience_s=0)
    refused = pytest.raises(DeviceError, match=r"XYZ does not cool down: 98.0 °C, above 50.0 °C")
    with refused, watch_block(read, limits, patience_s=0, serial="XYZ"):
        pass


def test_a_device_that_tells_no_temperature_gets_the_fixed_pause(make):
    clock = Clock()
    calm = wait_until_calm(
        lambda: make.reading(temp_mc={}, other_busy_fraction=0),
        Limits(blind_pause_s=7),
        patience_s=5,
        clock=clock,
        sleep=clock.sleep,
    )
    assert calm.waited_s == 7


def test_a_watched_block_has_the_flags_of_both_kinds_of_readings(make):
    outside = iter([make.reading(1, thermal_status=0), make.reading(9, thermal_status=2)])
    run = TimedRun(
        before=make.reading(2),
        after=make.reading(3, other_busy_fraction=0.0, online_cpus=(0, 1, 2)),
        harness_version="1",
    )
    limits = Limits(other_busy=1.0)
    with watch_block(
        lambda: next(outside), limits, patience_s=0, serial="x", read_after=lambda: next(outside)
    ) as watch:
        assert watch.flags(run, 0) == {Flag.CORE_LOST, Flag.THROTTLED}
