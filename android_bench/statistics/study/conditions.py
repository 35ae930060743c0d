"""How simulated devices misbehave: named conditions, each with its numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from android_bench.statistics.study.weather import NOISY_HOST, Weather
from pfd_models.errors import InputError, unknown

__all__ = ["CONDITIONS", "Conditions", "find_conditions", "require_positive"]


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
        weather: What neighbours do; None for a device that has none.
        start_seconds: Of a heat, for each process before its first turn: start, load, warm-up.
        turn_noise: Standard deviation of one inference's time within a turn that nothing else
            explains.
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
    weather: Weather | None = None
    start_seconds: float = 0.16
    turn_noise: float = 0.0205  # as fitted with `NOISY_HOST`

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

# The computer that `NOISY_HOST` was fitted to: blocks of 300 inferences of 1.05 ms, one every
# 0.81 s. In calm blocks its processes differ by 0.24 %: the covariance of the means of the eight
# fastest inferences of a block's two halves.
_NOISY_HOST = Conditions(
    name="weather",
    latency_seconds=0.00105,
    inferences=300,
    overhead_seconds=0.49,
    noise=0.0024,
    weather=NOISY_HOST,
)

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
        start_seconds=0.5,
    ),
    _NOISY_HOST,
)


def find_conditions(name: str) -> Conditions:
    """Find the conditions of a name.

    Raises:
        InputError: with near names, if there are none.
    """
    for each in CONDITIONS:
        if each.name == name:
            return each
    raise InputError(unknown("conditions", name, [each.name for each in CONDITIONS]))
