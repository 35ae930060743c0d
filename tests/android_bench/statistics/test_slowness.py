import dataclasses

import numpy as np
import pytest
from heats import make_heat

from android_bench.records import Design, Flag, HeatChild
from android_bench.statistics.slowness import Slowness, measure_slowness, thin_slowness

DESIGN = Design(labels=("orig", "ours"))


def heat_of(make, turns, *, cpus=None, discards=0, after_ns=10**9):
    children = ("orig", "ours")
    return dataclasses.replace(
        make.heat(),
        turns=make_heat(children, turns, cpus=cpus),
        children=tuple(HeatChild(label=c, burst=3, discards=discards) for c in children),
        before=make.reading(0),
        after=make.reading(after_ns),
    )


def rows(factors, orig=1000, ours=500):
    """Turns A B B A of three inferences; each row as slow as its factor says."""
    order = [[0, 1], [1, 0]]
    return [
        (child, [(orig, ours)[child] * factor] * 3)
        for number, factor in enumerate(factors)
        for child in order[number % 2]
    ]


def test_a_row_is_as_slow_as_its_turns_were_each_by_its_own_variant(make):
    (found,) = measure_slowness(DESIGN, [heat_of(make, rows([1, 1.3, 1, 1.1]))])
    assert found.shares == pytest.approx([0, 0.3, 0, 0.1])


def test_the_ratio_of_the_variants_is_not_in_the_weather(make):
    for ours in (500, 900, 2000):
        (found,) = measure_slowness(DESIGN, [heat_of(make, rows([1, 1.5, 1, 1], ours=ours))])
        assert found.shares == pytest.approx([0, 0.5, 0, 0])


def test_undisturbed_is_what_the_calmest_heat_was(make):
    calm, slow = heat_of(make, rows([1, 1, 1, 1])), heat_of(make, rows([1.4] * 4))
    first, second = measure_slowness(DESIGN, [calm, slow])
    assert first.shares == pytest.approx([0] * 4)
    assert second.shares == pytest.approx([0.4] * 4)


def test_what_is_discarded_is_no_weather(make):
    turns = [(child, [9000, ns, ns]) for child, (ns, *_) in rows([1, 1.2, 1, 1])]
    (found,) = measure_slowness(DESIGN, [heat_of(make, turns, discards=1)])
    assert found.shares == pytest.approx([0, 0.2, 0, 0])


def test_a_wrong_core_makes_no_undisturbed_level(make):
    turns = rows([1, 1, 1, 1])
    turns[0] = (0, [100] * 3)
    (found,) = measure_slowness(
        DESIGN, [heat_of(make, turns, cpus=[7] * 3 + [0] * 21)], cpu_mask=0b1
    )
    assert found.shares[1:] == pytest.approx([0, 0, 0])


def test_a_row_is_where_it_was(make):
    heat = heat_of(make, rows([1, 1]))
    (found,) = measure_slowness(DESIGN, [heat])
    turns = heat.turns
    assert found.at_ns[0] == (turns.turn_begin_ns[0] + turns.turn_end_ns[1]) / 2
    assert found.at_ns[1] == (turns.turn_begin_ns[2] + turns.turn_end_ns[3]) / 2


def test_a_row_that_was_cut_short_or_whose_clock_jumped_is_left_out(make):
    turns = rows([1, 1, 1])[:-1]
    assert len(measure_slowness(DESIGN, [heat_of(make, turns)])[0].shares) == 2
    end_ns = int(make_heat(("orig", "ours"), turns).turn_end_ns[1])
    early = heat_of(make, turns, after_ns=end_ns)  # the second row is said to be after the heat
    assert len(measure_slowness(DESIGN, [early])[0].shares) == 1


def test_a_heat_without_turns_has_no_weather(make):
    found = measure_slowness(DESIGN, [heat_of(make, rows([1, 1])), heat_without_turns(make)])
    assert [len(one.at_ns) for one in found] == [2, 0]
    assert [len(one.at_ns) for one in measure_slowness(DESIGN, [heat_without_turns(make)])] == [0]


def heat_without_turns(make):
    return dataclasses.replace(
        heat_of(make, rows([1])), turns=make_heat(("orig", "ours"), []), flags={Flag.PARTIAL}
    )


@pytest.mark.parametrize("most", [1, 7, 10, 999, 1000, 5000])
def test_the_weather_is_thinned_to_so_many_points_without_losing_its_mean(most):
    values = np.arange(1000.0)
    (thin,) = thin_slowness([Slowness(at_ns=values, shares=values)], most)
    assert len(thin.at_ns) <= most
    assert len(thin.at_ns) >= min(most, 1000) / 2
    assert thin.shares[0] == values[: -(-1000 // most)].mean()


def test_each_heat_keeps_a_point():
    one = Slowness(at_ns=np.arange(3.0), shares=np.arange(3.0))
    assert [len(heat.at_ns) for heat in thin_slowness([one] * 50, 10)] == [1] * 50
