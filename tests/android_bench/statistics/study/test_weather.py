from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from android_bench.statistics.study.turn_statistics import STATISTICS, measure_errors
from android_bench.statistics.study.weather import NOISY_HOST, Sky, Weather
from android_bench.statistics.study.weather_fit import (
    HostSamples,
    fit_weather,
    measure_moments,
    read_samples,
    simulate_blocks,
)
from pfd_models.errors import InputError

STEADY = Weather(
    share=0.2,
    tilt=0.0,
    slowdown=0.1,
    fade=0.0,
    shape=1e6,  # all bursts alike
    most=1.0,
    shortest_seconds=0.5,
    octaves=1,
    storm=1e-9,
    storm_seconds=1.0,
)


def levels(weather: Weather, seconds: float, steps: int, devices: int = 400, seed: int = 0):
    """(steps, devices) log slow-downs."""
    sky = Sky(weather, devices, np.random.default_rng(seed))
    return np.array([sky.advance(seconds) for _ in range(steps)])


def sample_blocks(weather: Weather, blocks: int, inferences: int, seed: int) -> np.ndarray:
    """(blocks, inferences) ns of inferences of 1 ms."""
    sky = Sky(weather, blocks, np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 1)
    slow = np.array([sky.advance(0.001) for _ in range(inferences)]).T
    return 1e6 * np.exp(slow + 0.03 * rng.standard_normal(slow.shape))


# ---------------------------------------------------------------- the simulator


def test_bursts_take_their_share_of_the_time_and_slow_by_their_factor():
    slow = levels(STEADY, 0.1, 500)
    assert (slow > 0.0).mean() == pytest.approx(0.2, rel=0.05)
    assert slow[slow > 0.0] == pytest.approx(np.log(1.1), rel=0.01)


def test_bursts_last_as_long_as_they_should():
    slow = levels(STEADY, 0.1, 500) > 0.0
    ends = (slow[:-1] & ~slow[1:]).sum() / slow[:-1].sum()
    assert 0.1 / ends == pytest.approx(0.5, rel=0.15)


def test_bursts_of_all_octaves_take_equal_shares_where_nothing_tilts():
    octaves = replace(STEADY, share=0.02, octaves=6, shortest_seconds=0.01)
    slow = levels(octaves, 0.05, 400, devices=2000)
    assert np.expm1(slow).mean() == pytest.approx(6 * 0.02 * 0.1, rel=0.1)


def test_what_is_read_does_not_depend_on_the_steps_between():
    coarse, fine = levels(NOISY_HOST, 1.0, 20, 2000), levels(NOISY_HOST, 0.05, 400, 2000)[19::20]
    assert coarse.mean() == pytest.approx(fine.mean(), rel=0.1)
    assert coarse.std() == pytest.approx(fine.std(), rel=0.1)
    alike = [np.corrcoef(each[:-1].ravel(), each[1:].ravel())[0, 1] for each in (coarse, fine)]
    assert alike[0] == pytest.approx(alike[1], abs=0.06)


def test_a_storm_comes_and_goes():
    restless = replace(NOISY_HOST, storm=1.5, storm_seconds=20.0)
    slow = levels(restless, 0.5, 200, devices=1000)
    by_stretch = slow.reshape(20, 10, 1000).mean(axis=1)  # of five seconds
    calm, stormy = np.quantile(by_stretch, [0.1, 0.9])
    assert stormy > 4.0 * calm


def test_no_storm_slows_by_more_than_the_limit():
    worst = levels(replace(NOISY_HOST, share=0.5, storm=2.0), 0.1, 50)
    assert worst.max() == pytest.approx(np.log1p(NOISY_HOST.most))


def test_campaigns_of_blocks_show_what_was_seen_on_the_noisy_host():
    runs = simulate_blocks(NOISY_HOST, 0.0205, (74, 29), 0.011, seed=7, campaigns=60)
    found = measure_moments(runs)
    assert 0.067 <= found["pairs of blocks, spread"] <= 0.097
    assert 0.040 <= found["bursts 1 apart, spread"] <= 0.050
    assert 0.016 <= found["bursts 1 apart, robust"] <= 0.028


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.95}, r"share is 0\.95: it must be from 0 to 0\.9"),
        ({"slowdown": 0.0}, r"slowdown is 0\.0"),
        ({"octaves": 0}, "octaves is 0"),
        ({"storm_seconds": -1.0}, r"storm_seconds is -1\.0"),
    ],
)
def test_impossible_weather_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(NOISY_HOST, **change)


# ---------------------------------------------------------------- samples and the fit


@pytest.fixture
def archive(tmp_path):
    """Two campaigns of six blocks; every second one has a handicap of 1 %."""
    arrays = {}
    for name in ("c0", "c1"):
        ns = sample_blocks(STEADY, 6, 50, seed=len(arrays))
        slowed = np.arange(6) % 2 == 1
        ns[slowed] *= 1.01
        arrays |= {
            f"{name}_ns": ns.astype(np.int32).ravel(),
            f"{name}_block": np.repeat(np.arange(6, dtype=np.int16), 50),
            f"{name}_slowed": np.repeat(slowed, 50),
        }
    path = tmp_path / "samples.npz"
    np.savez(path, **arrays)
    return path


def test_samples_come_back_block_by_block_without_their_handicap(archive):
    campaigns = read_samples(archive)
    assert [len(campaign.blocks) for campaign in campaigns] == [6, 6]
    slowed, plain = read_samples(archive, handicap=0.01), read_samples(archive, handicap=0.0)
    for number, (one, other) in enumerate(zip(slowed[0].blocks, plain[0].blocks, strict=True)):
        assert other - one == pytest.approx(np.log(1.01) * (number % 2))


@pytest.mark.parametrize("content", [None, b"no archive", {"x": [1]}, {"c0_ns": [1]}])
def test_a_file_without_samples_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "samples.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(InputError, match=r"samples\.npz") as error:
        read_samples(path)
    assert "\n" not in str(error.value)


def test_the_fit_finds_weather_like_the_one_that_made_the_samples():
    sky = Sky(replace(NOISY_HOST, slowdown=0.3), 4, np.random.default_rng(0))
    blocks = []
    for _ in range(30):
        blocks.append([sky.advance(0.001) for _ in range(180)])
        sky.advance(0.6)
    logs = np.array(blocks).transpose(2, 0, 1)  # campaign, block, inference
    campaigns = [HostSamples(blocks=tuple(np.log(1e6) + one)) for one in logs]
    start = replace(NOISY_HOST, slowdown=0.05)
    before, after = (
        fit_weather(campaigns, start, trials=trials, simulated=5) for trials in (1, 30)
    )
    assert before.measured == after.measured
    assert after.distance < 0.6 * before.distance
    assert after.weather.slowdown > start.slowdown


@pytest.mark.parametrize(("blocks", "inferences"), [(30, 100), (5, 300)])
def test_samples_too_short_for_the_moments_are_refused(blocks, inferences):
    short = [HostSamples(blocks=(np.zeros(inferences),) * blocks)]
    with pytest.raises(InputError, match=rf"{blocks} blocks of at most {inferences} inferences"):
        fit_weather(short, NOISY_HOST)


def test_the_error_of_a_heat_is_none_where_nothing_disturbs():
    still = [HostSamples(blocks=(np.full(300, np.log(1e6)),) * 5)]
    for statistic in STATISTICS.values():
        (error,) = measure_errors(still, statistic, discards=2, kept=4, trims=(0.25,))
        assert (error.spread, error.robust) == (0.0, 0.0)


def test_short_turns_and_trimmed_pairs_err_less_in_weather():
    blocks = tuple(np.log(sample_blocks(NOISY_HOST, 300, 300, seed=5)))
    campaigns = [HostSamples(blocks=blocks)]
    short, long = (
        measure_errors(campaigns, STATISTICS["mean"], discards=2, kept=kept, trims=(0.0, 0.25))
        for kept in (4, 14)
    )
    assert short[1].spread < short[0].spread < long[0].spread
    assert short[1].robust < long[1].robust
