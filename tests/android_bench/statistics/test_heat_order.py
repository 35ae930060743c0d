from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import pytest

from android_bench.records import Flag
from android_bench.statistics.design import Design, Pairing
from android_bench.statistics.heat_order import HeatPlan, has_twin, next_heat, order_turns
from android_bench.statistics.intervals import MIN_ROUNDS
from android_bench.statistics.pace import Burst, Pace
from android_bench.statistics.stopping import MIN_HEATS
from pfd_models.errors import InputError

GOOD: frozenset[Flag] = frozenset()
KILLED = frozenset({Flag.HARNESS_KILLED})


@dataclass(frozen=True)
class Ran:
    number: int
    flags: frozenset[Flag] = GOOD


def design_of(k: int, **kwargs) -> Design:
    return Design(labels=tuple("abcdefgh"[:k]), pairing=Pairing.TURNS, **kwargs)


def pace_of(design: Design) -> Pace:
    bursts = tuple(
        Burst(label=label, discards=number, kept=4, first_ns=1e6, settled_ns=1e6)
        for number, label in enumerate(design.labels)
    )
    return Pace(bursts=bursts, turn_seconds=0.7)


def walk(design: Design, flags: list[frozenset[Flag]]) -> list[HeatPlan]:
    """Run the plan with these flags and list what it planned."""
    ran: list[Ran] = []
    planned = []
    for each in flags:
        planned.append(next_heat(design, pace_of(design), ran))
        ran.append(Ran(planned[-1].number, each))
    return planned


@pytest.mark.parametrize("k", range(1, 6))
def test_every_process_takes_one_turn_in_each_row_and_its_mirror_image(k):
    order = order_turns(k, 4 * k, random.Random(k))
    rows = [order[i : i + k] for i in range(0, len(order), k)]
    assert all(sorted(row) == list(range(k)) for row in rows)
    assert all(a == b[::-1] for a, b in zip(rows[::2], rows[1::2], strict=True))


@pytest.mark.parametrize("k", range(2, 6))
def test_every_process_comes_after_every_other_equally_often(k):
    order = order_turns(k, 2 * k, random.Random(k))
    rows = [order[i : i + k] for i in range(0, len(order), k)]
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert len(follows) == k * (k - 1)
    assert set(follows.values()) == {2}
    places = Counter((process, place) for row in rows for place, process in enumerate(row))
    assert set(places.values()) == {2}


def test_two_processes_take_turns_as_abba():
    order = "".join("ab"[process] for process in order_turns(2, 4, random.Random(0)))
    assert order in {"abbabaab", "baababba"}


def test_the_first_heats_and_then_every_second_have_a_twin_of_the_baseline():
    design = design_of(2)
    planned = walk(design, [GOOD] * 9)
    assert [sorted(plan.children) for plan in planned[4:6]] == [["a", "a (A/A)", "b"], ["a", "b"]]
    twins = [design.control_label in plan.children for plan in planned]
    assert twins == [True] * 4 + [True, False, True, False, True]
    assert [plan.number for plan in planned] == list(range(9))


def test_the_control_has_an_interval_when_a_comparison_may_first_have_one():
    assert sum(has_twin(design_of(2), good) for good in range(MIN_HEATS)) >= MIN_ROUNDS


def test_one_variant_alone_always_has_a_twin():
    assert all(set(plan.children) == {"a", "a (A/A)"} for plan in walk(design_of(1), [GOOD] * 4))


def test_each_process_has_the_turns_of_its_variant():
    design = design_of(3)
    for plan in walk(design, [GOOD] * 4):
        labels = [design.variant_of(label) for label in plan.children]
        assert [burst.label for burst in plan.bursts] == labels
        assert len(plan.order) % len(labels) == 0
        turns = Counter(plan.order)
        assert len(set(turns.values())) == 1


def test_the_seed_draws_who_starts_and_in_which_order():
    first = [next_heat(design_of(2, seed=s), pace_of(design_of(2)), []) for s in range(200)]
    starts = Counter(plan.children[plan.order[0]] for plan in first)
    assert all(30 < count < 110 for count in starts.values())  # 67 of 200 expected of each
    assert len({plan.children for plan in first}) == 6


def test_a_disturbed_heat_is_run_again_as_it_was():
    first, again, after = walk(design_of(2), [KILLED, GOOD, GOOD])
    assert (first.number, first.attempt) == (0, 0)
    assert (again.number, again.attempt) == (0, 1)
    assert (again.children, again.order) == (first.children, first.order)
    assert (after.number, after.attempt) == (1, 0)


def test_a_heat_that_stays_disturbed_is_given_up_and_its_twin_comes_with_the_next():
    design = design_of(2, max_attempts=2)
    planned = walk(design, [GOOD] * 4 + [KILLED, KILLED, GOOD, GOOD])[4:]
    assert [(plan.number, plan.attempt) for plan in planned] == [(4, 0), (4, 1), (5, 0), (6, 0)]
    assert [design.control_label in plan.children for plan in planned] == [True, True, True, False]


def test_a_resumed_campaign_goes_on_with_the_heat_it_would_have_run():
    design = design_of(3, seed=7)
    whole = walk(design, [GOOD, KILLED, GOOD, GOOD, GOOD])
    ran = [
        Ran(plan.number, flags) for plan, flags in zip(whole, [GOOD, KILLED, GOOD], strict=False)
    ]
    assert next_heat(design, pace_of(design), ran) == whole[3]


def test_heats_of_another_campaign_are_refused():
    with pytest.raises(InputError, match="heat 2 ran where this campaign plans heat 1"):
        next_heat(design_of(2), pace_of(design_of(2)), [Ran(0), Ran(2)])


def test_the_share_of_twins_follows_good_heats():
    assert [has_twin(design_of(2), good) for good in range(4, 8)] == [True, False, True, False]
