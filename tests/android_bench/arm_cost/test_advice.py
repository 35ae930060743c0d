"""Which sites to convert, from counts that are made up."""

import pytest

from android_bench.arm_cost.advice import advise
from android_bench.records import Counts


def cost(instructions):
    return Counts(integer=instructions)


def counter(costs, asked=None):
    """Tell instructions by a string of sites, as ``"s12"``."""

    def count(chosen):
        key = "".join(sorted(chosen, key="s123".index))
        if asked is not None:
            asked.append(key)
        return None if costs.get(key) is None else cost(costs[key])

    return count


def additive(**changes):
    """All subsets of sites whose changes add up."""
    names = list(changes)
    subsets = [
        "".join(n for i, n in enumerate(names) if bits >> i & 1) for bits in range(2 ** len(names))
    ]
    return {subset: 10_000 + sum(changes[n] for n in subset) for subset in subsets}


def test_sites_that_save_are_chosen_and_those_that_cost_are_not():
    costs = additive(s=300, **{"1": -200, "2": 50, "3": -10})
    advice = advise("s123", counter(costs))
    assert advice.cheapest == {"1", "3"}
    assert advice.counted[advice.cheapest].instructions == 9_790
    assert advice.parts("instructions") == 140
    assert advice.adds_up is True


def test_a_network_that_every_conversion_makes_dearer_stays_as_it_is():
    advice = advise("s12", counter(additive(s=300, **{"1": 1, "2": 5})))
    assert advice.cheapest == frozenset()


def test_a_saving_of_two_sites_that_cost_alone_is_found_from_the_whole():
    costs = additive(s=400, **{"1": 20, "2": 30})
    costs |= {"12": 9_000, "s12": 9_500}
    advice = advise("s12", counter(costs))
    assert advice.cheapest == {"1", "2"}
    assert advice.adds_up is False


def test_sites_that_save_alone_and_cost_together_are_not_named_together():
    costs = additive(**{"1": -100, "2": -90, "3": 40})
    costs |= {"12": 10_100, "123": 10_200}
    assert advise("123", counter(costs)).cheapest == {"1"}


def test_each_choice_is_counted_once_and_the_original_first():
    asked = []
    advise("s12", counter(additive(s=300, **{"1": -200, "2": -50}), asked))
    assert asked[:5] == ["", "s", "1", "2", "s12"]
    assert len(asked) == len(set(asked))


def test_every_subset_is_counted_on_demand():
    costs = additive(s=300, **{"1": 200, "2": 50, "3": 10})
    costs["23"] = 5_000  # nothing leads there
    assert advise("s123", counter(costs)).cheapest == frozenset()
    advice = advise("s123", counter(costs), exhaustive=True)
    assert len(advice.counted) == 16
    assert advice.cheapest == {"2", "3"}


def test_a_site_that_cannot_be_converted_alone_leaves_the_sum_open():
    costs = additive(s=-300, **{"1": -200, "2": -50})
    costs["1"] = None
    advice = advise("s12", counter(costs))
    assert advice.parts("instructions") is None
    assert advice.adds_up is None
    assert advice.cheapest == {"s", "1", "2"}


def test_of_equals_the_choice_with_fewer_conversions_is_named():
    assert advise("12", counter(additive(**{"1": 0, "2": -5}))).cheapest == {"2"}


def test_an_original_that_cannot_be_counted_is_an_error():
    with pytest.raises(ValueError, match="the original was not counted"):
        advise("1", counter({"1": 5}))
