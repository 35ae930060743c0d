"""Where the weather's constants come from: samples of a real computer, and what fits them.

The samples are those of campaigns of blocks: every inference in order, the block it belongs to,
and whether the variant was the one with a known handicap, which is taken out first. Each campaign
is reduced to **moments**: how much bursts of ten inferences differ that are 1 to 16 bursts apart
within a block, how much the medians of neighbouring blocks differ, how alike the medians of blocks
are that are 1 to 8 blocks apart, and how slow bursts of ten are. Weather is fitted by simulating
the same campaigns until their moments are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import optimize

from android_bench.statistics.study.weather import Sky, Weather
from pfd_models.errors import InputError

__all__ = [
    "FitResult",
    "HostSamples",
    "fit_weather",
    "measure_moments",
    "read_samples",
    "robust_spread",
]

Floats = npt.NDArray[np.float64]

BURST = 10  # inferences
LAGS = (1, 2, 4, 8, 16)  # bursts
BLOCK_LAGS = (1, 2, 3, 5, 8)
QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.97)
BLOCK_SECONDS = 0.81  # from the beginning of a block to that of the next: 60 s over 74 blocks
OWN_SPEED = 0.0024  # of a process; see `android_bench.statistics.study.conditions`
_STEPS = 3  # of the weather in a burst of ten
_FITTED = ("share", "slowdown", "shape", "most", "storm", "storm_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSamples:
    """One campaign of blocks on a real computer.

    Attributes:
        blocks: (n,) log of the duration of each inference, in ns, one array for each block; the
            handicap is taken out.
    """

    blocks: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """The weather that fits, and how well.

    Attributes:
        weather: It.
        noise: Standard deviation of one inference that the weather does not explain.
        measured: Moment to its value in the samples.
        simulated: Moment to its value in simulated campaigns that did not serve to fit.
    """

    weather: Weather
    noise: float
    measured: dict[str, float]
    simulated: dict[str, float]

    @property
    def distance(self) -> float:
        """How unlike the moments are: what the fit makes small."""
        return _distance(self.measured, self.simulated)


def read_samples(path: Path, handicap: float = 0.01) -> list[HostSamples]:
    """Read campaigns of blocks from a NumPy archive.

    Args:
        path: With arrays ``NAME_ns``, ``NAME_block`` and ``NAME_slowed`` for each campaign NAME:
            duration in ns, number of the block, and whether the handicapped variant ran.
        handicap: By what fraction that variant was slowed.

    Raises:
        InputError: if there is no such file, or it holds something else.
    """
    try:
        with np.load(path) as archive:
            names = sorted(key[: -len("_ns")] for key in archive.files if key.endswith("_ns"))
            parts = [[archive[f"{n}_{part}"] for part in ("ns", "block", "slowed")] for n in names]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"cannot read samples from {path}: {error}; give an .npz with NAME_ns, NAME_block and"
            " NAME_slowed for each campaign"
        ) from error
    if not names:
        raise InputError(f"{path} holds no array called NAME_ns: give an .npz with samples")
    campaigns = []
    for ns, block, slowed in parts:
        logs = np.log(ns.astype(np.float64)) - np.log1p(handicap) * slowed
        cuts = np.flatnonzero(np.diff(block)) + 1
        campaigns.append(HostSamples(blocks=tuple(np.split(logs, cuts))))
    return campaigns


def reduce_samples(campaign: HostSamples) -> tuple[Floats, Floats]:
    """The (blocks, bursts) logs of bursts of ten, NaN where a block is short, and its medians.

    Raises:
        InputError: if there are too few for the moments.
    """
    longest = max(len(block) for block in campaign.blocks)
    count = longest // BURST
    if count <= LAGS[-1] or len(campaign.blocks) <= 2 * BLOCK_LAGS[-1]:
        raise InputError(
            f"a campaign of {len(campaign.blocks)} blocks of at most {longest} inferences: the fit"
            f" needs more than {2 * BLOCK_LAGS[-1]} blocks of at least {BURST * (LAGS[-1] + 1)}"
        )
    bursts = np.full((len(campaign.blocks), count), np.nan)
    for row, block in zip(bursts, campaign.blocks, strict=True):
        whole = len(block) // BURST
        row[:whole] = np.log(np.exp(block[: whole * BURST]).reshape(whole, BURST).mean(axis=1))
    return bursts, np.array([np.median(block) for block in campaign.blocks])


def measure_moments(campaigns: Sequence[tuple[Floats, Floats]]) -> dict[str, float]:
    """The moments of campaigns, each the mean over them.

    Args:
        campaigns: (blocks, bursts) logs of bursts of ten, and (blocks,) medians.
    """
    found: dict[str, list[float]] = {}
    for bursts, medians in campaigns:
        for lag in LAGS:
            steps = (bursts[:, lag:] - bursts[:, :-lag]).ravel()
            steps = steps[np.isfinite(steps)]
            found.setdefault(f"bursts {lag} apart, spread", []).append(float(steps.std()))
            found.setdefault(f"bursts {lag} apart, robust", []).append(robust_spread(steps))
        pairs = medians[1::2] - medians[: len(medians) // 2 * 2 : 2]
        found.setdefault("pairs of blocks, spread", []).append(float(pairs.std()))
        found.setdefault("pairs of blocks, robust", []).append(robust_spread(pairs))
        for lag in BLOCK_LAGS:
            alike = np.corrcoef(medians[:-lag], medians[lag:])[0, 1]
            found.setdefault(f"blocks {lag} apart, correlation", []).append(float(alike))
        low = np.nanquantile(bursts, 0.1)
        for p in QUANTILES:
            slow = float(np.nanquantile(bursts, p) - low)
            found.setdefault(f"slowness, {p:.0%} over 10% quantile", []).append(slow)
    return {name: float(np.mean(values)) for name, values in found.items()}


def fit_weather(
    campaigns: Sequence[HostSamples], start: Weather, *, trials: int = 400, simulated: int = 80
) -> FitResult:
    """Find the weather under which simulated campaigns have the moments of real ones.

    Args:
        campaigns: Of a real computer.
        start: Where to begin; its octaves and shortest duration are kept.
        trials: Simulations to try.
        simulated: Campaigns of each.

    Raises:
        InputError: if a campaign is too short.
    """
    reduced = [reduce_samples(campaign) for campaign in campaigns]
    measured = measure_moments(reduced)
    shape = (max(len(medians) for _, medians in reduced), max(b.shape[1] for b, _ in reduced))
    samples = np.concatenate([block for campaign in campaigns for block in campaign.blocks])
    burst_seconds = 1e-9 * BURST * float(np.exp(samples).mean())

    def simulate(x: Floats, seed: int) -> dict[str, float]:
        weather, noise = _at(x, start)
        runs = simulate_blocks(weather, noise, shape, burst_seconds, seed=seed, campaigns=simulated)
        return measure_moments(runs)

    scales = np.log([*(getattr(start, name) for name in _FITTED), 0.03])
    first = np.array([*scales, start.tilt, start.fade])
    steps = np.diag([*[0.3] * len(scales), 0.1, -0.05])
    best = optimize.minimize(
        lambda x: _distance(measured, simulate(x, 0)),
        first,
        method="Nelder-Mead",
        options={"maxfev": trials, "initial_simplex": np.vstack([first, first + steps])},
    ).x
    weather, noise = _at(best, start)
    return FitResult(weather=weather, noise=noise, measured=measured, simulated=simulate(best, 1))


def simulate_blocks(
    weather: Weather,
    noise: float,
    shape: tuple[int, int],
    burst_seconds: float,
    *,
    seed: int,
    campaigns: int,
) -> list[tuple[Floats, Floats]]:
    """Simulate campaigns of blocks on a device that has nothing but weather.

    Args:
        weather: It.
        noise: Standard deviation of one inference besides.
        shape: Blocks of a campaign, and bursts of ten of a block.
        burst_seconds: What ten inferences take.
        seed: Of the random stream.
        campaigns: How many.

    Returns:
        For each the (blocks, bursts) logs of bursts of ten and the (blocks,) medians.
    """
    blocks, bursts = shape
    rng = np.random.default_rng(seed)
    sky = Sky(weather, campaigns, rng)
    logs, medians = np.empty((blocks, bursts, campaigns)), np.empty((blocks, campaigns))
    for block in range(blocks):
        steps = [sky.advance(burst_seconds / _STEPS) for _ in range(bursts * _STEPS)]
        levels = np.array(steps).reshape(bursts, _STEPS, campaigns)
        own = OWN_SPEED * rng.standard_normal(campaigns)
        apart = noise / np.sqrt(BURST) * rng.standard_normal((bursts, campaigns))
        logs[block] = levels.mean(axis=1) + own + apart
        medians[block] = np.median(levels, axis=(0, 1)) + own
        sky.advance(max(BLOCK_SECONDS - bursts * burst_seconds, 0.0))
    return [(logs[..., i], medians[..., i]) for i in range(campaigns)]


def _at(x: Floats, start: Weather) -> tuple[Weather, float]:
    values = dict(zip(_FITTED, np.exp(x[:-3]).tolist(), strict=True))
    values["share"] = min(values["share"], 0.5)
    weather = replace(start, tilt=float(x[-2]), fade=float(x[-1]), **values)
    return weather, float(np.exp(x[-3]))


def _distance(measured: dict[str, float], simulated: dict[str, float]) -> float:
    """Spreads count by their ratio, the rest in units of what campaigns differ by themselves."""
    total = 0.0
    for name, value in measured.items():
        if "correlation" in name:
            total += 0.1 * ((simulated[name] - value) / 0.1) ** 2
        elif "quantile" in name:
            total += 0.1 * ((simulated[name] - value) / 0.02) ** 2
        else:
            total += float(np.log(simulated[name] / value)) ** 2
    return total


def robust_spread(values: Floats) -> float:
    """Median absolute deviation, scaled to the standard deviation of a Gaussian."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
