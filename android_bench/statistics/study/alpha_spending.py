"""Boundaries of group-sequential designs: limits for each look that together err by alpha.

The standardised sum of independent increments is followed from look to look on a grid; at each
look the boundary is put where the probability of leaving it for the first time equals what the
spending function releases. Neither SciPy nor statsmodels has this.

Source: Armitage, McPherson and Rowe, J. R. Statist. Soc. A 132 (1969) for the recursion; Lan and
DeMets, Biometrika 70 (1983) for the spending functions; Jennison and Turnbull, "Group
Sequential Methods" (2000), chapters 7 and 19.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from pfd_models.errors import InputError

__all__ = ["boundaries", "obrien_fleming", "pocock"]

Floats = npt.NDArray[np.float64]

_GRID = 401  # points of the sum's density between the boundaries


def pocock(fraction: float, alpha: float) -> float:
    """Error spent up to an information fraction, nearly equal at all looks."""
    return float(alpha * np.log1p((np.e - 1.0) * fraction))


def obrien_fleming(fraction: float, alpha: float) -> float:
    """Error spent up to an information fraction, nearly all of it at the end."""
    return float(4.0 * stats.norm.sf(stats.norm.isf(0.25 * alpha) / np.sqrt(fraction)))


def boundaries(
    fractions: Sequence[float], alpha: float, spending: Callable[[float, float], float]
) -> list[float]:
    """Two-sided boundaries on the z scale, one for each look.

    Args:
        fractions: Information fractions of the looks, ascending, the last one 1.
        alpha: Error over all looks.
        spending: `pocock` or `obrien_fleming`.

    Raises:
        InputError: if the fractions do not ascend to 1.
    """
    steps = np.diff([0.0, *fractions])
    if len(steps) == 0 or (steps <= 0.0).any() or abs(fractions[-1] - 1.0) > 1e-12:
        raise InputError(f"information fractions {list(fractions)}: give ascending ones up to 1")
    result: list[float] = []
    spent = 0.0
    points, weights = np.zeros(1), np.ones(1)
    for fraction, step in zip(fractions, steps, strict=True):
        release = spending(float(fraction), alpha) - spent
        spent += release
        sd = float(np.sqrt(step))
        limit = _limit(points, weights, sd, release)
        result.append(limit / float(np.sqrt(fraction)))
        grid = np.linspace(-limit, limit, _GRID)
        density = stats.norm.pdf(grid[:, None], points[None, :], sd) @ weights
        quadrature = np.full(_GRID, grid[1] - grid[0])
        quadrature[[0, -1]] *= 0.5
        points, weights = grid, density * quadrature
    return result


def _limit(points: Floats, weights: Floats, sd: float, release: float) -> float:
    """Where the sum, now spread by sd, lies beyond ±limit with the released probability."""

    def excess(limit: float) -> float:
        above = stats.norm.sf(limit, points, sd) @ weights
        below = stats.norm.cdf(-limit, points, sd) @ weights
        return float(above + below) - release

    return float(optimize.brentq(excess, 0.0, 20.0))
