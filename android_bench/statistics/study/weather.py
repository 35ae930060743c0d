"""Weather: what neighbours on a shared computer do to whoever measures there.

Bursts of slowness come at all time scales, from some milliseconds to some seconds. Bursts whose
durations lie within one octave take about the same share of the time as those of any other
octave, which makes durations heavy-tailed (the chance to last longer than d falls like 1/d) and
the spectrum of the slowness that of 1/f noise. Each burst slows by its own factor; bursts that
overlap add up, to a limit: a core has one sibling and one memory bus. How often bursts come
changes slowly too, so that a calm stretch may be followed by a storm.

`NOISY_HOST` is fitted to 100,000 inferences of about 1 ms on a shared 2-core x86 that looked idle,
by ``python tools/coverage.py --fit-weather samples.npz``, which prints how well it fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pfd_models.errors import InputError

__all__ = ["NOISY_HOST", "Sky", "Weather"]

Floats = npt.NDArray[np.float64]

_MOST_SHARE = 0.9  # of the time that bursts of one octave may take in the worst storm


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How a shared device is slowed.

    Attributes:
        share: Share of the time that bursts of the shortest octave take, on average.
        tilt: How that share grows from octave to octave, as a power of two; 0 is 1/f noise.
        slowdown: Mean slow-down by a burst of the shortest octave, as a fraction.
        fade: How that grows from octave to octave, as a power of two; below 0 it shrinks.
        shape: Of the gamma distribution of slow-downs: the larger, the more alike they are.
        most: Bursts together slow by no more than this fraction.
        shortest_seconds: Mean duration of the bursts of the shortest octave.
        octaves: Their number; the mean duration doubles from each to the next.
        storm: Standard deviation of the logarithm of all shares over time.
        storm_seconds: Correlation time of that.
    """

    share: float
    tilt: float
    slowdown: float
    fade: float
    shape: float
    most: float
    shortest_seconds: float = 0.004
    octaves: int = 12
    storm: float
    storm_seconds: float

    def __post_init__(self) -> None:
        """Refuse what no weather is.

        Raises:
            InputError: naming the field and its value.
        """
        for name in ("slowdown", "shape", "most", "shortest_seconds", "octaves", "storm_seconds"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be more than 0")
        if not 0.0 <= self.share <= _MOST_SHARE:
            raise InputError(f"share is {self.share}: it must be from 0 to {_MOST_SHARE}")


class Sky:
    """The weather over n devices, moved on in time.

    Bursts of one octave are a two-state process with exponential durations, moved on by its exact
    transition law: what is read at two times does not depend on the steps between them.
    """

    def __init__(self, weather: Weather, n: int, rng: np.random.Generator) -> None:
        self._weather, self._rng = weather, rng
        octave = np.arange(weather.octaves)[:, None]
        self._duration = weather.shortest_seconds * 2.0**octave
        self._share = weather.share * 2.0 ** (weather.tilt * octave)
        self._mean = weather.slowdown * 2.0 ** (weather.fade * octave)
        self._storm = rng.standard_normal(n)
        self._present = np.zeros((weather.octaves, n), dtype=bool)
        self._slowdown = np.zeros((weather.octaves, n))
        self.advance(1e9)  # into the stationary state

    def advance(self, seconds: float) -> Floats:
        """Let time pass.

        Args:
            seconds: The same for all devices.

        Returns:
            (n,) logarithm of the slow-down at the end of it.
        """
        how, rng = self._weather, self._rng
        fade = np.exp(-seconds / how.storm_seconds)
        self._storm *= fade
        self._storm += np.sqrt(1.0 - fade**2) * rng.standard_normal(self._storm.shape)
        growth = np.exp(how.storm * self._storm - 0.5 * how.storm**2)
        share = np.minimum(self._share * growth, _MOST_SHARE)
        # A burst ends at the rate 1 / duration; the rate at which one begins makes up the share.
        relax = np.exp(-seconds / (self._duration * (1.0 - share)))
        draw = rng.random(self._present.shape)
        survives = self._present & (draw < np.exp(-seconds / self._duration))
        self._present = draw < share + (self._present - share) * relax
        fresh = self._present & ~survives
        mean = np.broadcast_to(self._mean, fresh.shape)[fresh]
        self._slowdown[fresh] = mean * rng.gamma(how.shape, 1.0 / how.shape, len(mean))
        together = (self._slowdown * self._present).sum(axis=0)
        return np.asarray(np.log1p(np.minimum(together, how.most)), dtype=np.float64)


NOISY_HOST = Weather(
    share=0.0604,
    tilt=0.029,
    slowdown=0.117,
    fade=-0.027,
    shape=4.8,
    most=0.447,
    storm=0.558,
    storm_seconds=17.2,
)
