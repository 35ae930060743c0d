from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.records import Flag
from android_bench.statistics.design import Design, next_block, round_order, williams_rows
from pfd_models.errors import InputError


@dataclass(frozen=True)
class Ran:
    round: int
    position: int
    flags: frozenset[Flag] = frozenset()


GOOD: frozenset[Flag] = frozenset()
THROTTLED = frozenset({Flag.THROTTLED})


def design_of(k: int, **kwargs) -> Design:
    return Design(labels=tuple("abcdefgh"[:k]), **kwargs)


def cycle(design: Design, number: int = 0) -> list[tuple[str, ...]]:
    """The 2k rounds of one cycle, the control shown as the baseline it is."""
    k = len(design.labels)
    rounds = [round_order(design, slot) for slot in range(number * 2 * k, (number + 1) * 2 * k)]
    return [tuple(design.variant_of(label) for label in order) for order in rounds]


@pytest.mark.parametrize("seed", range(8))
def test_two_variants_run_as_abba_and_baab(seed):
    blocks = "".join(label for order in cycle(design_of(2, seed=seed)) for label in order)
    assert blocks in {"abbabaab", "baababba"}


def test_the_seed_draws_which_variant_starts():
    starts = Counter(cycle(design_of(2, seed=seed))[0][0] for seed in range(200))
    assert 60 < starts["a"] < 140  # 5.6 standard deviations of a fair coin


@pytest.mark.parametrize("k", range(2, 8))
def test_rows_are_a_latin_square(k):
    rows = williams_rows(k)
    assert all(sorted(line) == list(range(k)) for line in (*rows, *zip(*rows, strict=True)))


@pytest.mark.parametrize("k", range(2, 8))
@pytest.mark.parametrize("seed", [0, 1])
def test_every_variant_follows_every_other_equally_often(k, seed):
    rounds = cycle(design_of(k, seed=seed), number=3)
    follows = Counter(pair for order in rounds for pair in pairwise(order))
    assert len(follows) == k * (k - 1)
    assert set(follows.values()) == {2}


@pytest.mark.parametrize("k", range(2, 8))
def test_every_variant_stands_in_every_place_equally_often(k):
    rounds = cycle(design_of(k))
    places = Counter((label, place) for order in rounds for place, label in enumerate(order))
    assert len(places) == k * k
    assert set(places.values()) == {2}


@pytest.mark.parametrize("k", range(1, 8))
def test_a_linear_drift_cancels_in_every_round_and_its_mirror_image(k):
    rounds = cycle(design_of(k, seed=5))
    for first, mirror in zip(rounds[::2], rounds[1::2], strict=True):
        blocks = first + mirror
        times = {label: [t for t, b in enumerate(blocks) if b == label] for label in first}
        assert {sum(each) for each in times.values()} == {2 * k - 1}


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_control_takes_one_of_the_two_baseline_blocks_of_each_pair(k):
    design = design_of(k, seed=3)
    first_is_control = []
    for slot in range(0, 80, 2):
        both = round_order(design, slot) + round_order(design, slot + 1)
        assert both.count(design.control_label) == 1
        assert both.count(design.baseline) == 1
        control_at, baseline_at = both.index(design.control_label), both.index(design.baseline)
        first_is_control.append(control_at < baseline_at)
    assert sum(first_is_control) == len(first_is_control) / 2


def walk(design: Design, flags: list[frozenset[Flag]]) -> list[tuple[int, int, int, int, str]]:
    """Run the plan with these flags and list what it planned."""
    ran: list[Ran] = []
    planned = []
    for each in flags:
        block = next_block(design, ran)
        planned.append((block.index, block.round, block.position, block.attempt, block.label))
        ran.append(Ran(round=block.round, position=block.position, flags=each))
    return planned


def test_undisturbed_blocks_follow_the_order():
    design = design_of(3)
    expected = [label for slot in range(4) for label in round_order(design, slot)]
    planned = walk(design, [GOOD] * 12)
    assert [label for *_, label in planned] == expected
    assert [index for index, *_ in planned] == list(range(12))
    assert [(r, p, a) for _, r, p, a, _ in planned] == [(i // 3, i % 3, 0) for i in range(12)]


def test_a_disturbed_block_is_measured_again_at_once_and_in_its_place():
    planned = walk(design_of(2), [GOOD, THROTTLED, GOOD, GOOD])
    again, label = planned[2], planned[1][4]
    assert again == (1, 0, 1, 1, label)
    assert planned[3][:4] == (2, 1, 0, 0)


def test_a_block_that_stays_disturbed_gives_its_round_up_and_the_row_runs_again():
    design = design_of(2, max_attempts=2)
    planned = walk(design, [GOOD, THROTTLED, THROTTLED, GOOD, GOOD, GOOD])
    assert [p[:4] for p in planned[:5]] == [
        (0, 0, 0, 0),
        (1, 0, 1, 0),
        (1, 0, 1, 1),
        (2, 1, 0, 0),
        (3, 1, 1, 0),
    ]
    assert (planned[3][4], planned[4][4]) == round_order(design, 0)
    assert planned[5][4] == round_order(design, 1)[0]


def test_a_block_that_only_got_warmer_is_kept():
    planned = walk(design_of(2), [frozenset({Flag.TEMPERATURE_ROSE}), GOOD])
    assert planned[1][:4] == (1, 0, 1, 0)


@given(
    disturbed=st.lists(st.booleans(), max_size=120),
    k=st.integers(1, 5),
    attempts=st.integers(1, 4),
)
def test_whatever_is_disturbed_the_complete_rounds_are_the_rows_in_order(disturbed, k, attempts):
    design = design_of(k, max_attempts=attempts)
    planned = walk(design, [THROTTLED if bad else GOOD for bad in disturbed])
    good: dict[int, list[str]] = {}
    for (_, number, _, _, label), bad in zip(planned, disturbed, strict=True):
        if not bad:
            good.setdefault(number, []).append(label)
    complete = [tuple(labels) for _, labels in sorted(good.items()) if len(labels) == k]
    assert complete == [round_order(design, slot) for slot in range(len(complete))]
    assert len({(p[1], p[2], p[3]) for p in planned}) == len(planned)  # each in its own place


def test_a_resumed_campaign_goes_on_where_it_was():
    design = design_of(4, seed=9)
    whole = walk(design, [GOOD] * 30)
    ran = [Ran(round=r, position=p) for _, r, p, _, _ in whole[:17]]
    block = next_block(design, ran)
    assert (block.index, block.round, block.position, block.attempt, block.label) == whole[17]


def test_blocks_of_another_plan_are_refused():
    with pytest.raises(InputError, match=r"block 1 ran as round 0, position 2, .* position 1"):
        next_block(design_of(3), [Ran(round=0, position=0), Ran(round=0, position=2)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ()}, "without variants"),
        ({"labels": ("a", "b", "a")}, "variant 'a' is named twice"),
        ({"labels": ("a", "")}, "label is empty"),
        ({"labels": ("a", "a (A/A)")}, "is the control's"),
        ({"precision": 0.0}, "precision is 0.0"),
        ({"precision": float("nan")}, "precision is nan"),
        ({"budget_seconds": -1.0}, "budget_seconds is -1.0"),
        ({"budget_seconds": float("inf")}, "budget_seconds is inf"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"min_rounds": 11}, "min_rounds is 11: it must be at least 12"),
        ({"max_attempts": 0}, "max_attempts is 0"),
    ],
)
def test_an_impossible_campaign_is_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")) as error:
        replace(design_of(2), **change)
    assert "\n" not in str(error.value)
