from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from android_bench.statistics.design import Design, Pairing
from android_bench.statistics.monitor import precision_to_resolve
from android_bench.statistics.stopping import HEATS_RULE, MIXTURE_T_HEATS_RULE
from android_bench.statistics.study.conditions import CONDITIONS, Conditions, find_conditions
from android_bench.statistics.study.coverage import Share, judge
from android_bench.statistics.study.simulated_campaigns import simulate
from android_bench.statistics.study.simulated_heats import simulate_heats
from android_bench.statistics.study.weather import NOISY_HOST

TWO = Design(labels=("orig", "ours"), pairing=Pairing.TURNS, budget_seconds=20.0)
STILL = Conditions(name="still", latency_seconds=0.001, start_seconds=0.1, turn_noise=0.0)
NAMES = [each.name for each in CONDITIONS]
WEATHER = find_conditions("weather")


def is_above(share: Share, promise: float) -> bool:
    """Whether a share is above a promise by more than chance explains: 1 in 100,000."""
    return stats.binom.sf(share.count - 1, share.of, promise) < 1e-5


def is_below(share: Share, promise: float) -> bool:
    """Whether a share is below a promise by more than chance explains: 1 in 100,000."""
    return stats.binom.cdf(share.count, share.of, promise) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_campaigns_and_others_do_not(name):
    short = replace(TWO, budget_seconds=6.0)
    first, again, other = (
        simulate_heats(short, 1.01, find_conditions(name), seed, 5) for seed in (3, 3, 4)
    )
    assert np.array_equal(first.log_ratios, again.log_ratios)
    assert np.array_equal(first.elapsed_seconds, again.elapsed_seconds)
    assert not np.array_equal(first.log_ratios, other.log_ratios)


@pytest.mark.parametrize("name", NAMES)
def test_the_true_effect_is_what_heats_measure_in_the_middle(name):
    data = simulate_heats(TWO, 1.05, find_conditions(name), 1, 200)
    by_campaign = np.median(data.log_ratios[..., 0] - np.log(1.05), axis=1)
    assert abs(by_campaign.mean()) < 4.0 * by_campaign.std() / 200**0.5
    assert (data.elapsed_seconds[:, -1] >= TWO.budget_seconds).all()


def test_each_variant_has_its_own_effect():
    three = replace(TWO, labels=("orig", "ours", "stem"), budget_seconds=3.0)
    data = simulate_heats(three, {"stem": 0.9, "ours": 1.2}, STILL, 0, 3)
    assert data.log_ratios[..., 0] == pytest.approx(np.log(1.2))
    assert data.log_ratios[..., 1] == pytest.approx(np.log(0.9))


def test_device_time_is_starting_processes_and_their_turns():
    data = simulate_heats(TWO, 1.0, STILL, 0, 2)
    heats = np.diff(data.elapsed_seconds, prepend=0.0, axis=1)[0]
    turns = 0.006 * np.array([3 * 40, 2 * 60])  # 2 + 4 inferences; with a twin, without
    with_twin, without = 0.3 + turns[0], 0.2 + turns[1]
    assert heats[:7] == pytest.approx([with_twin] * 5 + [without, with_twin])


def test_no_pairing_cancels_what_a_process_is_slower_by_of_its_own():
    own = replace(STILL, noise=0.01)
    data = simulate_heats(TWO, 1.0, own, 0, 400)
    assert data.log_ratios[:, 5::2].std() == pytest.approx(0.01 * 2.0**0.5, rel=0.05)
    assert data.log_ratios[:, ::2].std() == pytest.approx(
        0.01 * 1.5**0.5, rel=0.05
    )  # two baselines
    assert data.control_log_ratios.std() == pytest.approx(0.01 * 2.0**0.5, rel=0.05)


def test_a_twin_does_not_shift_the_ratio():
    data = simulate_heats(replace(TWO, budget_seconds=10.0), 1.0, WEATHER, 0, 300)
    for heats in (data.log_ratios[:, ::2], data.log_ratios[:, 5::2], data.control_log_ratios):
        assert abs(heats.mean()) < 4.0 * heats.std() / heats.size**0.5


def test_controls_are_counted_heat_by_heat():
    data = simulate_heats(TWO, 1.0, STILL, 0, 1)
    assert data.controls_after.tolist()[:8] == [1, 2, 3, 4, 5, 5, 6, 6]
    assert data.control_log_ratios.shape[1] == data.controls_after[-1]


def test_turns_share_their_weather_and_blocks_do_not():
    blocks = simulate(replace(TWO, pairing=Pairing.BLOCKS), 1.0, WEATHER, 0, 100).log_ratios
    turns = simulate_heats(TWO, 1.0, WEATHER, 0, 100).log_ratios
    assert 0.067 <= blocks.std() <= 0.097
    assert turns.std() < 0.01


@pytest.mark.parametrize(
    "how",
    [
        replace(STILL, heating=0.3, heating_seconds=20.0),
        replace(STILL, wander=0.03, wander_seconds=2.0),
        replace(STILL, steps_per_minute=12.0, step=0.2),
    ],
    ids=["heat", "wander", "steps"],
)
def test_what_the_device_does_slowly_cancels_within_rows(how):
    assert simulate_heats(TWO, 1.0, how, 0, 50).log_ratios.std() < 0.0006


# ---------------------------------------------------------------- coverage, with stopping on


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_covers_a_true_effect_in_93_of_100_campaigns(name):
    design = replace(TWO, budget_seconds=40.0)
    (one,) = judge((HEATS_RULE,), design, find_conditions(name), 1.01, campaigns=300, seed=100)
    assert one.covered.fraction >= 0.93
    assert not is_below(one.covered, 0.95)


@pytest.mark.parametrize("name", NAMES)
def test_equal_variants_raise_5_false_alarms_in_100_campaigns_at_most(name):
    design = replace(TWO, budget_seconds=40.0)
    (one,) = judge((HEATS_RULE,), design, find_conditions(name), 1.0, campaigns=300, seed=200)
    assert not is_above(one.claimed, 0.05)
    assert not is_above(one.control_missed, 0.05)


def test_a_stretch_of_calm_does_not_fool_the_rule():
    turning = replace(
        WEATHER, weather=replace(NOISY_HOST, storm=1.5, storm_seconds=6.0), noise=0.001
    )
    design = replace(TWO, budget_seconds=40.0, precision=0.004)
    (one,) = judge((HEATS_RULE,), design, turning, 1.0, campaigns=300, seed=300)
    assert not is_below(one.covered, 0.95)


def test_whoever_stops_at_the_first_verdict_is_covered_by_the_sequence():
    data = (HEATS_RULE, MIXTURE_T_HEATS_RULE)
    design = replace(TWO, budget_seconds=60.0)
    planned, sequence = judge(data, design, find_conditions("quiet"), 1.0, 1000, seed=300)
    assert planned.peeked_wrongly.fraction > 0.05
    assert not is_above(sequence.peeked_wrongly, 0.05)


def test_one_percent_is_resolved_in_ten_seconds_of_weather():
    fine = replace(TWO, precision=precision_to_resolve(0.01), budget_seconds=25.0)
    (one,) = judge((HEATS_RULE,), fine, WEATHER, 1.01, campaigns=200, seed=400)
    assert one.p90_seconds < 11.0
    assert one.resolved.fraction > 0.9
    assert one.claimed_wrongly.count == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_four_thousand_campaigns_keep_every_promise_at_any_precision(name):
    for ratio in (1.0, 1.01, 1.3):
        for precision in (0.003, 0.01, 0.03):
            design = replace(TWO, precision=precision, budget_seconds=120.0)
            (one,) = judge((HEATS_RULE,), design, find_conditions(name), ratio, 4000, seed=9)
            assert one.covered.fraction >= 0.94
            assert one.control_missed.fraction <= 0.05


HELD_OUT = [  # none of these served to choose the rule or to calibrate it
    *(
        replace(
            WEATHER,
            name=f"storms of {s} s",
            weather=replace(NOISY_HOST, storm_seconds=s, storm=1.5),
        )
        for s in (1.0, 4.0, 30.0)
    ),
    replace(WEATHER, name="strong bursts", weather=replace(NOISY_HOST, slowdown=0.3, most=2.0)),
    replace(WEATHER, name="long bursts", weather=replace(NOISY_HOST, tilt=0.3)),
    replace(WEATHER, name="alike processes", noise=0.0),
    replace(WEATHER, name="processes with heavy tails", noise_df=2.5),
    replace(find_conditions("quiet"), name="infinite kurtosis", noise_df=2.2),
    replace(find_conditions("quiet"), name="slow starts", start_seconds=1.5),
    replace(find_conditions("phone"), name="slow inferences", latency_seconds=0.3),
]


@pytest.mark.slow
@pytest.mark.parametrize("how", HELD_OUT, ids=lambda how: how.name)
def test_conditions_that_the_rule_was_not_calibrated_on_are_covered_too(how):
    design = replace(TWO, budget_seconds=120.0)
    (one,) = judge((HEATS_RULE,), design, how, 1.0, 4000, seed=7)
    assert one.covered.fraction >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("k", [3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_many_variants_are_covered_together(k, name):
    design = replace(TWO, labels=tuple("abcd"[:k]), budget_seconds=120.0)
    (one,) = judge((HEATS_RULE,), design, find_conditions(name), 1.0, 1000, seed=8)
    assert one.covered.fraction >= 0.95
