"""A device that misbehaves in known ways, for judging the statistics.

A block's median latency is

    true latency × thermal drift × frequency step × wander × foreign load × block noise

where everything but the last is a function of the device's time, so that neighbouring blocks
share it. Time advances with what a block really takes: a slow device makes fewer blocks. Many
devices are simulated at once, one per campaign; arrays are laid out (campaign,).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pfd_models.errors import InputError, unknown

__all__ = ["CONDITIONS", "MOST_DRIFT", "Conditions", "Device", "conditions", "require_positive"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MOST_DRIFT = 0.25  # where a linear drift ends: no device gets ever slower

# A disturbed block is measured again at most this often; the host's plan gives the round up
# after three and runs its row again, which takes about the same time.
_REPEATS = 8


def require_positive(field: str, value: float) -> None:
    """Refuse a value that is not above zero.

    Raises:
        InputError: naming the field and the value.
    """
    if not value > 0.0:
        raise InputError(f"{field} is {value}: it must be more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How a device misbehaves. Spreads and amplitudes are of the natural logarithm of latency.

    Attributes:
        name: Shown in tables.
        latency_seconds: One inference of the baseline on the undisturbed device.
        inferences: Inferences per block.
        overhead_seconds: Of a block, outside its inferences: process, load, warm-up, gate.
        noise: Standard deviation of block medians that nothing else explains.
        noise_df: Degrees of freedom of its Student t shape; infinity is Gaussian.
        drift_per_minute: Spread of a linear drift, drawn once per campaign; it ends at a quarter.
        heating: Slow-down of the device once it is hot; drawn between half of it and all.
        heating_seconds: Time constant of getting hot.
        steps_per_minute: Rate at which the frequency governor changes its mind.
        step: Spread of frequency levels: each is drawn from 0 to this slow-down.
        load_per_minute: Bursts of foreign load per minute of quiet.
        load_seconds: Mean length of a burst.
        load: Mean slow-down of a block inside a burst, exponentially distributed.
        load_noticed: Probability that such a block is flagged, and so measured again.
        wander: Standard deviation of an Ornstein-Uhlenbeck process in time.
        wander_seconds: Its correlation time.
    """

    name: str
    latency_seconds: float = 0.0038
    inferences: int = 90
    overhead_seconds: float = 0.16
    noise: float = 0.0
    noise_df: float = float("inf")
    drift_per_minute: float = 0.0
    heating: float = 0.0
    heating_seconds: float = 90.0
    steps_per_minute: float = 0.0
    step: float = 0.0
    load_per_minute: float = 0.0
    load_seconds: float = 1.0
    load: float = 0.0
    load_noticed: float = 0.0
    wander: float = 0.0
    wander_seconds: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no device can do.

        Raises:
            InputError: naming the field and its value.
        """
        for field in ("latency_seconds", "inferences", "heating_seconds", "load_seconds"):
            require_positive(field, getattr(self, field))
        require_positive("wander_seconds", self.wander_seconds)
        if self.noise_df <= 2.0:
            raise InputError(f"noise_df is {self.noise_df}: it must be more than 2")
        if not 0.0 <= self.load_noticed <= 1.0:
            raise InputError(f"load_noticed is {self.load_noticed}: it must be from 0 to 1")

    @property
    def block_seconds(self) -> float:
        """Device time of one block on the undisturbed device."""
        return self.overhead_seconds + self.inferences * self.latency_seconds


# The paired log-ratio of two blocks has a standard deviation of 2.3 % where nothing but block
# noise acts: as measured with blocks of 90 inferences of ShuffleNetV2 at 224 x 224 in fresh
# processes on a shared 2-core x86. On the phone, blocks take seconds and heat does the rest.
_SHARED_X86 = Conditions(name="quiet", noise=0.023 / 2**0.5)

CONDITIONS: tuple[Conditions, ...] = (
    _SHARED_X86,
    replace(_SHARED_X86, name="drift", drift_per_minute=0.03, heating=0.25),
    replace(_SHARED_X86, name="steps", steps_per_minute=8.0, step=0.20),
    replace(
        _SHARED_X86,
        name="tails",
        noise_df=3.0,
        load_per_minute=6.0,
        load_seconds=1.5,
        load=0.3,
        load_noticed=0.5,
    ),
    replace(_SHARED_X86, name="wander", noise=0.008, wander=0.03, wander_seconds=2.0),
    Conditions(
        name="phone",
        latency_seconds=0.019,
        inferences=90,
        overhead_seconds=1.5,
        noise=0.010,
        noise_df=4.0,
        drift_per_minute=0.03,
        heating=0.25,
        steps_per_minute=1.5,
        step=0.15,
        load_per_minute=1.0,
        load_seconds=2.0,
        load=0.2,
        load_noticed=0.3,
        wander=0.02,
        wander_seconds=10.0,
    ),
)


def conditions(name: str) -> Conditions:
    """Find the conditions of a name.

    Raises:
        InputError: with near names, if there are none.
    """
    for each in CONDITIONS:
        if each.name == name:
            return each
    raise InputError(unknown("conditions", name, [each.name for each in CONDITIONS]))


class Device:
    """The state of n devices in time, one per campaign; advanced by measuring a block."""

    def __init__(self, how: Conditions, n: int, rng: np.random.Generator) -> None:
        self._how, self._n, self._rng = how, n, rng
        self.seconds = np.zeros(n)
        self._drift_per_second = rng.normal(0.0, how.drift_per_minute / 60.0, n)
        self._heating = how.heating * rng.uniform(0.5, 1.0, n)
        self._level = how.step * rng.uniform(0.0, 1.0, n)
        self._wander = how.wander * rng.standard_normal(n)
        self._loaded = np.zeros(n, dtype=bool)
        self._load = np.zeros(n)

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

    def _run(self, effect: Floats, running: Bools) -> tuple[Floats, Bools]:
        how, rng, n = self._how, self._rng, self._n
        dt = np.where(running, how.block_seconds, 0.0)

        fade = np.exp(-dt / how.wander_seconds)
        self._wander *= fade
        self._wander += how.wander * np.sqrt(1.0 - fade**2) * rng.standard_normal(n)
        stepped = rng.random(n) < -np.expm1(-dt * how.steps_per_minute / 60.0)
        self._level = np.where(stepped, how.step * rng.uniform(0.0, 1.0, n), self._level)
        self._advance_load(dt)

        middle = self.seconds + 0.5 * dt
        slow = (
            np.clip(self._drift_per_second * middle, -MOST_DRIFT, MOST_DRIFT)
            + self._heating * -np.expm1(-middle / how.heating_seconds)
            + self._level
            + self._wander
            + np.where(self._loaded, np.log1p(self._load), 0.0)
        )
        measured = effect + slow + how.noise * _noise(rng, how.noise_df, n)
        inferring = how.inferences * how.latency_seconds * np.exp(effect + slow)
        self.seconds = self.seconds + np.where(running, how.overhead_seconds + inferring, 0.0)
        return measured, self._loaded & (rng.random(n) < how.load_noticed)

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


def _noise(rng: np.random.Generator, df: float, n: int) -> Floats:
    """(n,) draws of variance 1, Student t shaped."""
    normal = rng.standard_normal(n)
    if np.isinf(df):
        return normal
    return normal * np.sqrt((df - 2.0) / rng.chisquare(df, n))
