import pytest

from android_bench.campaign.limits import (
    BLIND_PAUSE_S,
    START_MARGIN_MC,
    START_MOST_MC,
    choose_start,
    describe_start,
)
from android_bench.records import Limits


def phone(make):
    return make.device(kind="android", virtual=False)


def test_a_phone_starts_blocks_at_its_first_idle_temperature_and_a_margin(make):
    idle = make.reading(temp_c=38.5)
    limits = choose_start(Limits(), idle, phone(make))
    assert limits.start_temperature_mc == 38_500 + START_MARGIN_MC
    assert limits.blind_pause_s == 0
    assert describe_start(limits, idle) == "blocks start at 46.5 °C or below (38.5 °C when idle)"


def test_a_phone_that_is_hot_while_idle_is_waited_for(make):
    limits = choose_start(Limits(), make.reading(temp_c=98), phone(make))
    assert limits.start_temperature_mc == START_MOST_MC < 98_000


def test_what_the_user_set_stays(make):
    asked = Limits(start_temperature_mc=41_000)
    assert choose_start(asked, make.reading(temp_c=30), phone(make)) == asked


def test_a_phone_that_tells_nothing_gets_a_pause_that_is_recorded(make):
    blind = make.reading(temp_mc={}, thermal_status=None)
    limits = choose_start(Limits(), blind, phone(make))
    assert limits.blind_pause_s == BLIND_PAUSE_S
    assert "a pause of 10 s" in describe_start(limits, blind)


def test_a_thermal_status_is_enough_for_a_phone_without_zones(make):
    reading = make.reading(temp_mc={}, thermal_status=0)
    assert choose_start(Limits(), reading, phone(make)) == Limits()


@pytest.mark.parametrize("temp_c", [30, 98])
def test_a_computer_waits_for_no_temperature_by_itself(make, temp_c):
    assert choose_start(Limits(), make.reading(temp_c=temp_c), make.device()) == Limits()
