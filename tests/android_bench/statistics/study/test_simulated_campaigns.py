from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from android_bench.statistics.design import Design
from android_bench.statistics.study.conditions import CONDITIONS, Conditions, find_conditions
from android_bench.statistics.study.simulated_campaigns import simulate
from android_bench.statistics.study.simulated_device import Device
from pfd_models.errors import InputError

TWO = Design(labels=("orig", "ours"), budget_seconds=60.0)
STILL = Conditions(name="still", latency_seconds=0.004, inferences=100, overhead_seconds=0.1)
NAMES = [each.name for each in CONDITIONS]


def block_logs(how: Conditions, blocks: int, devices: int = 400) -> tuple[np.ndarray, Device]:
    """(devices, blocks) of what a variant without effect measures, and the devices after it."""
    device = Device(how, devices, np.random.default_rng(0))
    return np.stack([device.measure(np.zeros(devices)) for _ in range(blocks)], axis=1), device


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_campaigns_and_others_do_not(name):
    how = find_conditions(name)
    first, again, other = (simulate(TWO, 1.01, how, seed, 5) for seed in (3, 3, 4))
    assert np.array_equal(first.log_ratios, again.log_ratios)
    assert np.array_equal(first.elapsed_seconds, again.elapsed_seconds)
    assert not np.array_equal(first.log_ratios, other.log_ratios)


@pytest.mark.parametrize("name", NAMES)
def test_the_true_effect_is_what_the_campaigns_measure_in_the_middle(name):
    data = simulate(TWO, 1.05, find_conditions(name), 1, 400)
    errors = data.log_ratios[..., 0] - np.log(1.05)
    by_campaign = np.median(errors, axis=1)
    assert abs(by_campaign.mean()) < 4.0 * by_campaign.std() / 400**0.5
    assert data.true_log_ratios == pytest.approx([np.log(1.05)])


def test_each_variant_has_its_own_effect():
    three = Design(labels=("orig", "ours", "stem"), budget_seconds=60.0)
    data = simulate(three, {"stem": 0.9, "ours": 1.2}, STILL, 0, 3)
    assert data.log_ratios[..., 0] == pytest.approx(np.log(1.2))
    assert data.log_ratios[..., 1] == pytest.approx(np.log(0.9))


def test_device_time_is_overhead_and_inferences_of_every_block():
    data = simulate(TWO, 1.5, STILL, 0, 2)
    assert data.elapsed_seconds[:, 0] == pytest.approx(2 * 0.1 + 100 * 0.004 * (1.0 + 1.5))
    assert np.diff(data.elapsed_seconds, axis=1) == pytest.approx(data.elapsed_seconds[0, 0])
    assert (data.elapsed_seconds[:, -1] >= TWO.budget_seconds).all()


@pytest.mark.parametrize("name", NAMES)
def test_campaigns_are_simulated_until_their_budget_is_spent(name):
    data = simulate(TWO, 1.0, find_conditions(name), 2, 200)
    assert (data.elapsed_seconds[:, -1] >= TWO.budget_seconds).all()


def test_a_quiet_pair_spreads_as_it_was_measured_on_a_shared_computer():
    data = simulate(TWO, 1.0, find_conditions("quiet"), 0, 200)
    assert data.log_ratios.std() == pytest.approx(0.023, rel=0.03)
    assert data.control_log_ratios.std() == pytest.approx(0.023, rel=0.05)


def test_heat_slows_the_device_and_pairs_do_not_see_it():
    hot = replace(STILL, heating=0.3, heating_seconds=20.0)
    logs, device = block_logs(hot, blocks=200)
    assert logs[:, 0].mean() < 0.02
    assert 0.2 < logs[:, -1].mean() < 0.24  # amplitudes are drawn from 0.15 to 0.3
    assert device.seconds.mean() > 200 * 0.5 * 1.1
    assert np.abs(simulate(TWO, 1.0, hot, 0, 50).log_ratios[:, 30:]).max() < 0.005


def test_linear_drift_has_the_stated_spread():
    logs, device = block_logs(replace(STILL, drift_per_minute=0.03), blocks=120)
    per_minute = (logs[:, -1] - logs[:, 0]) / (device.seconds - 0.5) * 60.0
    assert per_minute.std() == pytest.approx(0.03, rel=0.15)


def test_frequency_steps_come_at_the_stated_rate_and_last():
    logs, _ = block_logs(replace(STILL, steps_per_minute=12.0, step=0.2), blocks=100)
    changes = (np.diff(logs, axis=1) != 0.0).mean()
    assert changes == pytest.approx(-np.expm1(-0.5 * 12.0 / 60.0), rel=0.1)
    assert 0.0 <= logs.min() < 0.01 < 0.19 < logs.max() <= 0.2


def test_foreign_load_takes_its_share_of_time_and_stays_for_a_while():
    loaded = replace(STILL, load_per_minute=6.0, load_seconds=2.0, load=0.3)
    logs, _ = block_logs(loaded, blocks=300)
    hit = logs > 0.0
    assert hit.mean() == pytest.approx(12.0 / 72.0, rel=0.1)
    assert (hit[:, 1:] & hit[:, :-1]).mean() / hit[:, 1:].mean() > 0.7  # neighbours share it
    assert np.expm1(logs[hit]).mean() == pytest.approx(0.3, rel=0.1)


def test_a_load_that_is_noticed_costs_time_and_leaves_no_trace():
    unnoticed = replace(STILL, load_per_minute=6.0, load_seconds=0.5, load=0.3)
    noticed = replace(unnoticed, load_noticed=1.0)
    logs, device = block_logs(noticed, blocks=100)
    plain_logs, plain_device = block_logs(unnoticed, blocks=100)
    assert (logs > 0.0).mean() < 0.001 < (plain_logs > 0.0).mean()
    assert device.seconds.mean() > 1.02 * plain_device.seconds.mean()


def test_wander_is_correlated_over_its_correlation_time():
    logs, _ = block_logs(replace(STILL, wander=0.02, wander_seconds=2.0), blocks=200)
    assert logs.std() == pytest.approx(0.02, rel=0.05)
    for lag in (1, 4):
        correlation = np.corrcoef(logs[:, :-lag].ravel(), logs[:, lag:].ravel())[0, 1]
        assert correlation == pytest.approx(np.exp(-0.5 * lag / 2.0), abs=0.03)


def test_wander_makes_the_mean_of_pairs_a_tenth_more_variable_at_most():
    for seconds in (0.3, 1.0, 2.0, 4.0, 8.0):
        how = replace(STILL, wander=0.02, wander_seconds=seconds)
        series = simulate(TWO, 1.0, how, 0, 4000).log_ratios[:, :24, 0]
        ratio = 24 * series.mean(axis=1).var() / series.var(axis=1, ddof=1).mean()
        assert ratio < 1.1 + 4.0 * 1.1 * (2.0 / 4000) ** 0.5


def test_heavy_tails_keep_the_stated_spread():
    normal, _ = block_logs(replace(STILL, noise=0.02), blocks=200)
    heavy, _ = block_logs(replace(STILL, noise=0.02, noise_df=5.0), blocks=200)
    assert normal.std() == pytest.approx(0.02, rel=0.02)
    assert heavy.std() == pytest.approx(0.02, rel=0.05)
    far = 4.0 * 0.02
    assert (np.abs(heavy) > far).mean() > 20.0 * (np.abs(normal) > far).mean()


def test_the_controls_sign_does_not_follow_the_drift():
    steep = replace(STILL, heating=0.5, heating_seconds=100.0)
    data = simulate(TWO, 1.0, steep, 0, 400)
    early = data.control_log_ratios[:, :8]
    assert np.abs(early).mean() > 0.002  # each one sees the heat between its two blocks
    assert abs(early.mean()) < 4.0 * early.mean(axis=1).std() / 400**0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency_seconds": 0.0}, "latency_seconds is 0.0"),
        ({"wander_seconds": -1.0}, "wander_seconds is -1.0"),
        ({"noise_df": 2.0}, "noise_df is 2.0"),
        ({"load_noticed": 1.5}, "load_noticed is 1.5"),
    ],
)
def test_an_impossible_device_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(STILL, **change)


def test_unknown_conditions_are_refused_with_the_near_name():
    with pytest.raises(InputError, match="did you mean 'drift'"):
        find_conditions("drfit")


@pytest.mark.parametrize(("ratio", "message"), [(0.0, "true_ratio is 0.0"), ({"x": 1.0}, "'ours'")])
def test_an_impossible_truth_is_refused(ratio, message):
    with pytest.raises(InputError, match=message):
        simulate(TWO, ratio, STILL, 0)
