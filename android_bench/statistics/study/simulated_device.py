"""A device that misbehaves in known ways, for judging the statistics.

A block's median latency is

    true latency × thermal drift × frequency step × wander × foreign load × weather × block noise

where everything but the last is a function of the device's time, so that neighbouring blocks
share it. So is the mean of a turn, but what a block's noise is to a block, each process has of
its own and keeps for as long as it lives: no pairing cancels it. Time advances with what is
measured: a slow device makes fewer blocks. Many devices are simulated at once, one per
campaign; arrays are laid out (campaign,).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from android_bench.statistics.study.conditions import Conditions
from android_bench.statistics.study.weather import Sky

__all__ = ["MOST_DRIFT", "Device"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MOST_DRIFT = 0.25  # where a linear drift ends: no device gets ever slower

# A disturbed block is measured again at most this often; the host's plan gives the round up
# after three and runs its row again, which takes about the same time.
_REPEATS = 8

_WEATHER_STEP_SECONDS = 0.02  # of the weather within a block
_TURN_STEP_SECONDS = 0.008  # of the weather within a turn


class Device:
    """The state of n devices in time, one per campaign; advanced by measuring on them."""

    def __init__(self, how: Conditions, n: int, rng: np.random.Generator) -> None:
        self._how, self._n, self._rng = how, n, rng
        self.seconds = np.zeros(n)
        self._drift_per_second = rng.normal(0.0, how.drift_per_minute / 60.0, n)
        self._heating = how.heating * rng.uniform(0.5, 1.0, n)
        self._level = how.step * rng.uniform(0.0, 1.0, n)
        self._wander = how.wander * rng.standard_normal(n)
        self._loaded = np.zeros(n, dtype=bool)
        self._load = np.zeros(n)
        self._sky = None if how.weather is None else Sky(how.weather, n, rng)

    def measure(self, effect: Floats) -> Floats:
        """Run one block on every device, again where it was noticed to be disturbed.

        Args:
            effect: (n,) log of the true latency over the baseline's.

        Returns:
            (n,) log of the block's median over the baseline's undisturbed latency.
        """
        result = np.empty(self._n)
        todo = np.ones(self._n, dtype=bool)
        for _ in range(_REPEATS):
            measured, noticed = self._run(effect, todo)
            result[todo] = measured[todo]
            todo = todo & noticed
            if not todo.any():
                break
        return result

    def start_processes(self, count: int) -> Floats:
        """Start the processes of a heat.

        Returns:
            (count, n) log of what each process is slower by, of its own, for as long as it lives.
        """
        seconds = count * self._how.start_seconds
        self._pass(np.full(self._n, seconds))
        if self._sky is not None:
            self._sky.advance(seconds)
        self.seconds = self.seconds + seconds
        how = self._how
        return np.stack([how.noise * self._draw(how.noise_df) for _ in range(count)])

    def take_turn(self, effect: Floats, discards: int, kept: int) -> Floats:
        """Run one turn on every device.

        Args:
            effect: (n,) log of the latency over the baseline's, the process's own part included.
            discards: Inferences at its start that do not count.
            kept: Inferences that do.

        Returns:
            (n,) log of the mean of the kept ones over the baseline's undisturbed latency.
        """
        how = self._how
        seconds = (discards + kept) * how.latency_seconds
        slow = self._pass(np.full(self._n, seconds))
        if self._sky is not None:
            steps = max(round(seconds / _TURN_STEP_SECONDS), 1)
            slow = slow + np.mean(
                [self._sky.advance(seconds / steps) for _ in range(steps)], axis=0
            )
        self.seconds = self.seconds + seconds * np.exp(effect + slow)
        noise = how.turn_noise / np.sqrt(kept) * self._rng.standard_normal(self._n)
        return np.asarray(effect + slow + noise, dtype=np.float64)

    def _run(self, effect: Floats, running: Bools) -> tuple[Floats, Bools]:
        how, rng, n = self._how, self._rng, self._n
        slow = self._pass(np.where(running, how.block_seconds, 0.0))
        if self._sky is not None:
            slow = slow + self._median_weather(self._sky)
        measured = effect + slow + how.noise * self._draw(how.noise_df)
        inferring = how.inferences * how.latency_seconds * np.exp(effect + slow)
        self.seconds = self.seconds + np.where(running, how.overhead_seconds + inferring, 0.0)
        return measured, self._loaded & (rng.random(n) < how.load_noticed)

    def _pass(self, dt: Floats) -> Floats:
        """Let (n,) seconds pass; return the log slow-down in their middle, weather left out."""
        how, rng, n = self._how, self._rng, self._n
        fade = np.exp(-dt / how.wander_seconds)
        self._wander *= fade
        self._wander += how.wander * np.sqrt(1.0 - fade**2) * rng.standard_normal(n)
        stepped = rng.random(n) < -np.expm1(-dt * how.steps_per_minute / 60.0)
        self._level = np.where(stepped, how.step * rng.uniform(0.0, 1.0, n), self._level)
        self._advance_load(dt)
        middle = self.seconds + 0.5 * dt
        return np.asarray(
            np.clip(self._drift_per_second * middle, -MOST_DRIFT, MOST_DRIFT)
            + self._heating * -np.expm1(-middle / how.heating_seconds)
            + self._level
            + self._wander
            + np.where(self._loaded, np.log1p(self._load), 0.0),
            dtype=np.float64,
        )

    def _median_weather(self, sky: Sky) -> Floats:
        """(n,) median log slow-down over the inferences of a block."""
        inferring = self._how.inferences * self._how.latency_seconds
        steps = max(round(inferring / _WEATHER_STEP_SECONDS), 1)
        sky.advance(self._how.overhead_seconds)
        levels = [sky.advance(inferring / steps) for _ in range(steps)]
        return np.asarray(np.median(levels, axis=0), dtype=np.float64)

    def _advance_load(self, dt: Floats) -> None:
        """Move the two-state process "foreign load" on by dt, by its exact transition law."""
        how, rng, n = self._how, self._rng, self._n
        start, stop = how.load_per_minute / 60.0, 1.0 / how.load_seconds
        share = start / (start + stop)
        chance = share + (self._loaded - share) * np.exp(-(start + stop) * dt)
        loaded = rng.random(n) < chance
        fresh = loaded & ~self._loaded
        self._load = np.where(fresh, how.load * rng.standard_exponential(n), self._load)
        self._loaded = loaded

    def _draw(self, df: float) -> Floats:
        """(n,) draws of variance 1, Student t shaped."""
        normal = self._rng.standard_normal(self._n)
        if np.isinf(df):
            return normal
        return np.asarray(normal * np.sqrt((df - 2.0) / self._rng.chisquare(df, self._n)))
