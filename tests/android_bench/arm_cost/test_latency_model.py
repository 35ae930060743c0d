"""A model of latency, fitted on tables that are made up, so that its constants are known."""

import itertools

import numpy as np
import pytest

from android_bench.arm_cost.latency_model import (
    PREDICTORS,
    Fit,
    MeasuredNetwork,
    features_of,
    fit_constants,
)
from android_bench.arm_cost.latency_validation import (
    choose_best,
    choose_shown,
    find_wrong_pairs,
    leave_one_out,
    validate,
    validate_all,
    validate_choice,
)
from android_bench.records import Counts
from pfd_models.errors import InputError

CLASSES = PREDICTORS["classes and misses"]
TRUE_NS = dict(zip(CLASSES, (0.11, 0.25, 0.07, 3.0, 40.0), strict=True))


def draw_features(rng):
    """Features of a network: every one over two decades, by itself."""
    scales = dict(zip(CLASSES, (1e8, 5e7, 5e7, 1e6, 1e5), strict=True))
    drawn = {name: scale * 10 ** rng.uniform(-1, 1) for name, scale in scales.items()}
    drawn["instructions"] = sum(drawn[name] for name in CLASSES[:3])
    drawn["macs"] = 4 * drawn["multiply_accumulates"]
    drawn["params"] = 1e6 * 10 ** rng.uniform(-1, 1)
    drawn["cycles"] = drawn["instructions"] / rng.uniform(2, 3)
    return drawn


@pytest.fixture
def networks():
    """Twelve networks whose times are a sum of constants times features, to the last digit."""
    rng = np.random.default_rng(3)
    truth = Fit(predictor="classes and misses", constants_ns=TRUE_NS)
    drawn = [draw_features(rng) for _ in range(12)]
    return [
        MeasuredNetwork(name=f"net{i}", latency_ms=truth.predict_ms(features), features=features)
        for i, features in enumerate(drawn)
    ]


def test_the_constants_of_a_made_up_phone_are_recovered(networks):
    assert fit_constants("classes and misses", networks).constants_ns == pytest.approx(TRUE_NS)


def test_a_phone_that_is_paid_by_instructions_is_recovered_by_one_constant(networks):
    paid = [
        MeasuredNetwork(
            name=n.name, latency_ms=2e-7 * n.features["instructions"], features=n.features
        )
        for n in networks
    ]
    validation = validate("instructions", paid)
    assert validation.fit.constants_ns == pytest.approx({"instructions": 0.2})
    assert validation.mean_error == pytest.approx(0, abs=1e-12)
    assert validation.wrong_pairs == ()


def test_constants_are_never_negative(networks):
    rng = np.random.default_rng(4)
    noisy = [
        MeasuredNetwork(name=n.name, latency_ms=rng.uniform(1, 100), features=n.features)
        for n in networks
    ]
    for predictor in PREDICTORS:
        assert min(fit_constants(predictor, noisy).constants_ns.values()) >= 0


def test_relative_errors_are_made_small_so_a_slow_network_does_not_outweigh_the_others():
    features = {"instructions": 1e6}
    times = (1.0, 1.0, 1.0, 100.0)
    table = [
        MeasuredNetwork(name=str(i), latency_ms=t, features=features) for i, t in enumerate(times)
    ]
    # Least squares of c/t - 1 over t = 1, 1, 1, 100.
    expected = (3 + 1 / 100) / (3 + 1 / 100**2)
    assert fit_constants("instructions", table).predict_ms(features) == pytest.approx(expected)


def test_what_a_left_out_network_measured_does_not_change_what_is_said_of_it(networks):
    before = leave_one_out("instructions", networks)
    last = networks[-1]
    wrong = MeasuredNetwork(name=last.name, latency_ms=1e4, features=last.features)
    after = leave_one_out("instructions", [*networks[:-1], wrong])
    assert after[last.name] == before[last.name]
    assert all(after[n.name] != before[n.name] for n in networks[:-1])


def test_only_pairs_that_differ_by_more_than_a_tenth_have_an_order():
    measured = {"a": 10.0, "b": 10.9, "c": 12.0, "d": 30.0}
    predicted = {"a": 11.0, "b": 10.0, "c": 10.5, "d": 9.0}
    wrong, pairs = find_wrong_pairs(measured, predicted)
    assert pairs == 5  # all but a and b; c is 10.1 % above b
    assert [(w.faster, w.slower) for w in wrong] == [("a", "d"), ("b", "d"), ("c", "d"), ("a", "c")]
    assert wrong[0].difference == pytest.approx(2.0)


def test_a_predictor_that_ranks_worse_than_instructions_is_not_shown(networks):
    paid = [
        MeasuredNetwork(
            name=n.name, latency_ms=2e-7 * n.features["instructions"], features=n.features
        )
        for n in networks
    ]
    validations = {p: validate(p, paid) for p in PREDICTORS}
    shown = choose_shown(validations)
    assert "instructions" in shown
    assert "parameters" not in shown
    assert len(validations["parameters"].wrong_pairs) > 0
    assert choose_best(validations).fit.predictor in shown


def test_the_best_predictor_of_a_phone_that_pays_for_misses_knows_misses(networks):
    validations = {p: validate(p, networks) for p in PREDICTORS}
    assert choose_best(validations).fit.predictor == "classes and misses"
    assert validations["classes and misses"].mean_error < 1e-6 < validations["MACs"].mean_error


def test_a_network_has_no_say_in_which_predictor_is_chosen_for_it(networks):
    held_out = validate_choice(networks)
    assert held_out.chosen == dict.fromkeys((n.name for n in networks), "classes and misses")
    assert held_out.mean_error < 1e-6
    last = networks[-1]  # with a time that no predictor explains
    odd = MeasuredNetwork(name=last.name, latency_ms=1e4, features=last.features)
    again = validate_choice([*networks[:-1], odd])
    assert again.predicted_ms[last.name] == held_out.predicted_ms[last.name]
    assert again.errors[last.name] == again.predicted_ms[last.name] / 1e4 - 1
    assert validate_choice(networks[:2]) is None


def test_predictors_of_cycles_are_left_out_where_one_network_has_none(networks):
    assert {"cycles", "cycles and misses"} < validate_all(networks).keys()
    first = networks[0]
    bare = {name: value for name, value in first.features.items() if name != "cycles"}
    mixed = [
        MeasuredNetwork(name="bare", latency_ms=first.latency_ms, features=bare),
        *networks[1:],
    ]
    assert set(PREDICTORS) - validate_all(mixed).keys() == {"cycles", "cycles and misses"}


def test_features_take_each_instruction_once():
    counts = Counts(mac_fp32=50, load_vector=20, store_scalar=5, atomic=3, integer=7, branch=4)
    features = features_of(counts, macs=200, params=9)
    parts = ("multiply_accumulates", "loads_stores", "other_instructions")
    assert [features[name] for name in parts] == [50, 28, 11]
    assert sum(features[name] for name in parts) == features["instructions"] == counts.instructions
    assert (features["macs"], features["params"]) == (200, 9)


def test_too_few_networks_are_refused_with_how_many_there_are(networks):
    with pytest.raises(InputError, match="4 networks cannot fix the 5 constants"):
        fit_constants("classes and misses", networks[:4])


def test_a_predictor_whose_feature_is_not_known_is_refused(networks):
    bare = [
        MeasuredNetwork(
            name=n.name,
            latency_ms=n.latency_ms,
            features={k: v for k, v in n.features.items() if k != "macs"},
        )
        for n in networks
    ]
    with pytest.raises(InputError, match="macs of a network are not known"):
        fit_constants("MACs", bare)


def test_a_network_that_is_in_a_table_twice_is_refused(networks):
    with pytest.raises(InputError, match="net0 is in the table more than once"):
        validate("instructions", [*networks, networks[0]])


def test_every_ordered_pair_counts_once(networks):
    measured = {n.name: n.latency_ms for n in networks}
    _, pairs = find_wrong_pairs(measured, measured, least_difference=0)
    assert pairs == len(list(itertools.combinations(measured, 2)))
