from __future__ import annotations

import numpy as np
import pytest

from android_bench.records import TurnSamples
from pfd_models.errors import InputError

FACTS = {
    "children": ("orig", "ours"),
    "turn_child": [0, 1, 1, 0],
    "turn_first": [0, 2, 3, 3, 5],
    "turn_begin_ns": [100, 200, 300, 400],
    "turn_end_ns": [150, 250, 300, 450],
    "turn_freq_khz": [2_000_000, -1, 2_000_000, 1_900_000],
    "samples_ns": [20, 30, 50, 25, 25],
    "cpus": [0, 0, -1, 1, 1],
}


def test_turns_keep_their_types_and_cannot_be_changed():
    turns = TurnSamples(**FACTS)
    kinds = {
        "turn_child": np.int16,
        "turn_first": np.int64,
        "turn_begin_ns": np.int64,
        "turn_end_ns": np.int64,
        "turn_freq_khz": np.int32,
        "samples_ns": np.int64,
        "cpus": np.int16,
    }
    for name, kind in kinds.items():
        row = getattr(turns, name)
        assert row.dtype == kind
        assert row.tolist() == FACTS[name]
        with pytest.raises(ValueError, match="read-only"):
            row[0] = 1


def test_turns_are_a_copy_of_what_was_given():
    given = np.array(FACTS["samples_ns"], dtype=np.int64)
    turns = TurnSamples(**(FACTS | {"samples_ns": given}))
    given[0] = 7
    assert turns.samples_ns[0] == 20


def test_equal_turns_are_equal_and_others_are_not():
    assert TurnSamples(**FACTS) == TurnSamples(**FACTS)
    for name, other in (("children", ("orig", "stem")), ("cpus", [0, 0, 0, 1, 1])):
        assert TurnSamples(**FACTS) != TurnSamples(**(FACTS | {name: other}))
    assert TurnSamples(**FACTS) != FACTS


def test_a_heat_that_ended_before_its_first_turn_has_none():
    empty = {name: [] for name in FACTS} | {"children": ("orig",), "turn_first": [0]}
    assert len(TurnSamples(**empty).turn_child) == 0


def test_times_that_run_backwards_are_kept_for_whoever_judges_the_heat():
    turns = TurnSamples(**(FACTS | {"turn_end_ns": [150, 250, 300, 390]}))
    assert turns.turn_end_ns[3] < turns.turn_begin_ns[3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"children": ()}, "label of its own"),
        ({"children": ("orig", "orig")}, "label of its own"),
        ({"children": ("orig", "")}, "label of its own"),
        ({"turn_child": [0, 1, 2, 0]}, r"turn_child\[2\] is 2: it must be from 0 to 1"),
        ({"turn_child": [0, 1, 1]}, "turn_begin_ns has 4 numbers, not 3"),
        ({"turn_first": [0, 2, 3, 5]}, "turn_first has 4 numbers, not 5"),
        ({"turn_first": [1, 2, 3, 3, 5]}, "turn_first goes from 1 to 5: .* from 0 to 5"),
        ({"turn_first": [0, 2, 3, 3, 4]}, "turn_first goes from 0 to 4"),
        ({"turn_first": [0, 3, 2, 3, 5]}, "turn 1 ends before it begins"),
        ({"turn_begin_ns": [-1, 200, 300, 400]}, r"turn_begin_ns\[0\] is -1"),
        ({"turn_end_ns": [150, 250]}, "turn_end_ns has 2 numbers, not 4: give one for each turn"),
        ({"turn_freq_khz": [0, -2, 0, 0]}, r"turn_freq_khz\[1\] is -2: it must be at least -1"),
        ({"turn_freq_khz": [2**31, 0, 0, 0]}, r"turn_freq_khz\[0\] is 2147483648"),
        ({"samples_ns": [20, 0, 50, 25, 25]}, r"samples_ns\[1\] is 0: it must be at least 1"),
        ({"samples_ns": [20.5, 30.0, 50.0, 25.0, 25.0]}, "samples_ns is 1-dimensional float64"),
        ({"samples_ns": [[20], [30]]}, "samples_ns is 2-dimensional"),
        ({"cpus": [0, 0]}, "cpus has 2 numbers, not 5: give one for each sample"),
        ({"cpus": [0, 0, -2, 1, 1]}, r"cpus\[2\] is -2"),
    ],
)
def test_damaged_turns_are_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message) as error:
        TurnSamples(**(FACTS | change))
    assert "\n" not in str(error.value)
