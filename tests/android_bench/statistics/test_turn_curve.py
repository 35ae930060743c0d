import dataclasses

import numpy as np
import pytest
from heats import make_heat

from android_bench.records import Design, HeatChild
from android_bench.statistics.turn_curve import find_curve

DESIGN = Design(labels=("orig", "ours"))


def heat_of(make, turns, *, children=("orig", "ours"), burst=4, discards=1):
    return dataclasses.replace(
        make.heat(),
        turns=make_heat(children, turns),
        children=tuple(HeatChild(label=c, burst=burst, discards=discards) for c in children),
    )


def test_what_the_first_inferences_cost_more_is_found_by_place(make):
    slow, settled = [1300, 1100, 1000, 1000], [1000] * 4
    turns = [(0, slow), (1, slow), (0, slow), (1, slow), (1, settled), (0, slow)]
    curve = find_curve(DESIGN, "orig", [heat_of(make, turns, discards=2)] * 2)
    assert curve.costs == pytest.approx((0.3, 0.1, 0.0, 0.0))
    assert curve.first_cost == pytest.approx(0.3)
    assert curve.discards == 2
    assert curve.n_turns == 4  # the heat's first turn follows nobody's


def test_a_turn_after_its_own_shows_nothing(make):
    turns = [(0, [1000] * 4), (1, [1500, 1000, 1000, 1000]), (1, [1000] * 4), (1, [1000] * 4)]
    curve = find_curve(DESIGN, "ours", [heat_of(make, turns)])
    assert (curve.n_turns, curve.first_cost) == (1, pytest.approx(0.5))


def test_the_weather_of_a_whole_turn_is_no_cost(make):
    turn = np.array([1200, 1000, 1000, 1000])
    turns = [t for k in (1, 3, 1.5, 2) for t in ((1, turn), (0, turn * k))]
    assert find_curve(DESIGN, "orig", [heat_of(make, turns)]).first_cost == pytest.approx(0.2)


def test_the_baselines_curve_is_its_twins_too(make):
    turns = [(0, [1000] * 4), (1, [1000] * 4), (2, [1000] * 4)] * 2
    heat = heat_of(make, turns, children=("orig", "ours", "orig (A/A)"))
    assert find_curve(DESIGN, "orig", [heat]).n_turns == 3


def test_a_turn_that_was_cut_short_is_left_out(make):
    turns = [(1, [1000] * 4), (0, [1000] * 4), (1, [1000] * 4), (0, [1000] * 2)]
    assert find_curve(DESIGN, "orig", [heat_of(make, turns)]).n_turns == 1


@pytest.mark.parametrize("heats", [0, 1])
def test_turns_of_one_inference_have_no_curve(make, heats):
    heat = heat_of(make, [(1, [1000]), (0, [1000])], burst=1, discards=0)
    assert find_curve(DESIGN, "orig", [heat] * heats) is None
