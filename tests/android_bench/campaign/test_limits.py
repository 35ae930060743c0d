import numpy as np
import pytest

from android_bench.campaign.limits import Limits, disturbances, unrest, wait_until_calm
from android_bench.records import Flag

LIMITS = Limits(start_temperature_mc=50_000)


def judge(make, after, cpus=(1, 1), mask=0b10, before=None):
    before = before or make.reading(1)
    return disturbances(before, make.reading(2, **after), np.array(cpus, np.int16), mask, LIMITS)


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


def test_unrest_says_why(make):
    assert unrest(make.reading(other_busy_fraction=0.1), LIMITS) == ""
    assert unrest(make.reading(temp_c=50.1), LIMITS) == "50.1 °C, above 50.0 °C"
    assert "other processes use 40%" in unrest(make.reading(other_busy_fraction=0.4), LIMITS)
    assert "hypervisor takes 30%" in unrest(
        make.reading(other_busy_fraction=0, steal_fraction=0.3), LIMITS
    )
    assert unrest(make.reading(temp_c=99, other_busy_fraction=0), Limits()) == ""


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


def test_patience_ends_and_says_what_was_wrong(make):
    clock = Clock()
    calm = wait_until_calm(
        lambda: make.reading(temp_c=60), LIMITS, patience_s=5, clock=clock, sleep=clock.sleep
    )
    assert calm.waited_s == 5
    assert calm.unrest == "60.0 °C, above 50.0 °C"
