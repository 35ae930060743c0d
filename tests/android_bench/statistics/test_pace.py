from __future__ import annotations

import numpy as np
import pytest
from heats import make_heat

from android_bench.statistics.pace import (
    HEAT_SECONDS,
    MIN_ROWS,
    PILOT_INFERENCES,
    PILOT_TURNS,
    Burst,
    Pace,
    choose_burst,
    choose_pace,
    describe_pace,
    plan_pilot,
)
from pfd_models.errors import InputError
from pfd_models.plain_data import from_plain, to_plain


def displaced(curve: list[float], turns: int = PILOT_TURNS, noise: float = 0.03, seed: int = 0):
    """Turns of a variant that takes 1 ms and more at the first places, in noise and weather."""
    rng = np.random.default_rng(seed)
    places = np.ones(PILOT_INFERENCES)
    places[: len(curve)] += curve
    weather = rng.uniform(1.0, 1.3, (turns, 1))
    jitter = np.exp(noise * rng.standard_normal((turns, PILOT_INFERENCES)))
    return 1e6 * places * weather * jitter


def burst(label: str = "orig", discards: int = 2, kept: int = 4, settled_ns: float = 1e6) -> Burst:
    return Burst(
        label=label, discards=discards, kept=kept, first_ns=1.2 * settled_ns, settled_ns=settled_ns
    )


@pytest.mark.parametrize(
    ("curve", "discards"),
    [([], 0), ([0.2], 1), ([0.2, 0.05], 2), ([0.3, 0.15, 0.08, 0.04], 4)],
)
def test_places_at_which_caches_are_still_cold_are_discarded(curve, discards):
    found = choose_burst("orig", displaced(curve, noise=0.0))
    assert found.discards == discards
    assert found.first_cost == pytest.approx(curve[0] if curve else 0.0, abs=1e-9)
    assert found.settled_ns == pytest.approx(1.15e6, rel=0.05)


@pytest.mark.parametrize(("curve", "right"), [([], 0), ([0.2, 0.05], 2)])
def test_noise_and_weather_discard_a_little_too_much_at_worst(curve, right):
    chosen = np.array([choose_burst("x", displaced(curve, seed=s)).discards for s in range(100)])
    assert chosen.min() == right
    assert np.mean(chosen == right) > 0.6
    assert np.mean(chosen <= right + 3) > 0.95


def test_one_slow_place_in_the_middle_is_no_cold_cache():
    assert choose_burst("x", displaced([0.0, 0.0, 0.0, 0.04], noise=0.0)).discards <= 4
    assert choose_burst("x", displaced([0.1, 0.0, 0.0, 0.04], noise=0.0)).discards <= 4


def test_the_choice_does_not_see_how_fast_the_variant_is():
    turns = displaced([0.2, 0.05])
    one, slower = choose_burst("x", turns), choose_burst("x", 1.5 * turns)
    assert (one.discards, one.first_cost) == (slower.discards, pytest.approx(slower.first_cost))


@pytest.mark.parametrize(
    ("settled_ns", "kept"),
    [(1e5, 40), (1e6, 4), (1.05e6, 4), (3e6, 4), (1e8, 4)],
)
def test_a_turn_lasts_a_timer_tick_and_twice_its_discards(settled_ns, kept):
    turns = settled_ns * np.array([[1.2, 1.05, *[1.0] * 14]] * 3)
    assert choose_burst("x", turns).kept == kept


@pytest.mark.parametrize("places", [1, 2, 3])
def test_a_slow_variant_has_at_least_one_inference_a_turn(places):
    found = choose_burst("slow", np.full((4, places), 3e9))
    assert (found.discards, found.kept) == (0, 1)


def test_a_first_inference_that_costs_more_is_discarded_even_where_there_are_two():
    found = choose_burst("slow", [[1.3e8, 1e8], [1.2e8, 1e8], [1.25e8, 1e8]])
    assert (found.discards, found.kept) == (1, 2)
    assert found.first_cost == pytest.approx(0.25)


def test_a_pilot_without_a_turn_is_refused():
    with pytest.raises(InputError, match="no whole turn of 'ours'"):
        choose_burst("ours", np.empty((0, 4)))
    pilot = make_heat(("orig", "ours"), [(1, [1, 1]), (0, [1, 1])])
    with pytest.raises(InputError, match="no whole turn of 'ours'"):
        choose_pace(pilot)


@pytest.mark.parametrize(
    ("variants", "slowest_seconds", "inferences", "turns"),
    [(2, 0.001, 16, 60), (4, 0.001, 16, 60), (2, 0.004, 12, 41), (2, 0.019, 3, 35), (2, 2.0, 2, 3)],
)
def test_a_pilot_takes_some_seconds_and_shows_two_places_at_least(
    variants, slowest_seconds, inferences, turns
):
    plan = plan_pilot(variants, slowest_seconds)
    assert (plan.inferences, plan.turns) == (inferences, turns)


def test_only_turns_that_follow_another_variants_show_the_cost():
    cold, warm = [1.5e6, 1e6, 1e6, 1e6], [1e6] * 4
    turns = [(0, cold), (1, cold), (1, warm), (0, cold), (0, warm), (1, cold), (1, [9e9])]
    pace = choose_pace(make_heat(("orig", "ours"), turns))
    assert [each.label for each in pace.bursts] == ["orig", "ours"]
    for each in pace.bursts:
        assert each.first_cost == pytest.approx(0.5)
        assert each.discards == 1


def test_a_heat_takes_most_of_a_second_or_as_long_as_starting_it():
    turns = [(n % 2, [1e6] * 8) for n in range(20)]
    pilot = make_heat(("orig", "ours"), turns)
    least, most = HEAT_SECONDS
    for start_seconds, seconds in ((0.0, least), (1.5, 1.5), (60.0, most)):
        pace = choose_pace(pilot, start_seconds=start_seconds)
        rows = pace.count_rows(pace.bursts)
        assert rows * sum(each.seconds for each in pace.bursts) == pytest.approx(seconds, rel=0.02)
        assert rows % 2 == 0


def test_all_variants_keep_as_much_time_as_the_one_that_needs_most():
    cold = [(0, [1.3e6, 1.2e6, 1.1e6, 1.05e6, *[1e6] * 12]), (1, [2.5e6] * 16)]
    pace = choose_pace(make_heat(("orig", "ours"), cold * 5))
    assert [each.discards for each in pace.bursts] == [4, 0]
    assert [each.kept for each in pace.bursts] == [8, 3]  # 8 ms and 7.5 ms


def test_a_twin_makes_turns_fewer_and_the_heat_no_longer():
    pace = Pace(bursts=(burst("orig"), burst("ours")), turn_seconds=0.72)
    assert pace.count_rows(pace.bursts) == 60
    assert pace.count_rows([*pace.bursts, burst("orig")]) == 40


def test_slow_variants_get_few_and_long_turns_and_the_line_says_so():
    slow = burst("huge", discards=0, kept=1, settled_ns=2e9)
    pace = Pace(bursts=(burst("orig"), slow), turn_seconds=0.7)
    assert pace.count_rows(pace.bursts) == MIN_ROWS
    assert describe_pace(pace).endswith("heats are long because one inference of 'huge' takes 2 s")
    quick = describe_pace(Pace(bursts=(burst("orig"), burst("ours")), turn_seconds=0.7))
    assert quick == (
        "turns: orig 2 + 4 inferences, the first +20.0%; ours 2 + 4 inferences, the first +20.0%;"
        " 60 turns each in a heat of 0.7 s"
    )


def test_a_pace_is_stored_and_read_again():
    pace = Pace(bursts=(burst("orig"), burst("ours", discards=0)), turn_seconds=0.7)
    assert from_plain(Pace, to_plain(pace)) == pace


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"discards": -1}, "discards of 'orig' is -1: it must be at least 0"),
        ({"kept": 0}, "kept of 'orig' is 0"),
        ({"settled_ns": float("nan")}, "settled_ns of 'orig' is nan"),
    ],
)
def test_a_turn_that_measures_nothing_is_refused(change, message):
    facts = {"label": "orig", "discards": 1, "kept": 2, "first_ns": 1.0, "settled_ns": 1.0}
    with pytest.raises(InputError, match=message):
        Burst(**(facts | change))


def test_an_unknown_variant_has_no_turns():
    pace = Pace(bursts=(burst("orig"),), turn_seconds=0.7)
    assert pace.burst("orig").kept == 4
    with pytest.raises(InputError, match=r"unknown variant 'orgi'.*did you mean 'orig'"):
        pace.burst("orgi")
    with pytest.raises(InputError, match=r"turn_seconds is 0\.0"):
        Pace(bursts=(), turn_seconds=0.0)
