"""Intervals for the centre of paired log-ratios: the ones we use and those they were tried against.

Each function takes many series at once, one a row, and gives for each the centre and the
half-width of its interval, in the natural logarithm. The series are short (a dozen to some
hundred rounds), have heavy tails (a burst of foreign load hits one block of a pair) and may be
slightly correlated. `android_bench.statistics.stopping` makes rules of them, and
`docs/statistics.md` says how the choice was made.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

from pfd_models.errors import InputError

__all__ = [
    "MIN_ROUNDS",
    "asymptotic_sequence",
    "mean_t",
    "mixture_t",
    "signed_rank",
    "trimmed_t",
    "two_stage",
]

Floats = npt.NDArray[np.float64]

MIN_ROUNDS = 4  # below this no interval is worth printing
TRIM = 0.1  # of each end: bursts of load reach a few pairs in a hundred


def trimmed_t(
    log_ratios: Floats, confidence: float, inflation: float = 1.0
) -> tuple[Floats, Floats]:
    """Trimmed mean with Student's t on the winsorised spread.

    Args:
        log_ratios: (series, n), n at least `MIN_ROUNDS`.
        confidence: Of a single look at a series whose length was fixed beforehand.
        inflation: Factor on the half-width, for rules that choose the length by looking.

    Returns:
        (series,) centres and (series,) half-widths.

    Raises:
        InputError: if the series are too short or a value is not finite.

    Source: Tukey and McLaughlin, "Less vulnerable confidence and significance procedures for
    location based on a single sample", Sankhya A 25 (1963); Yuen, Biometrika 61 (1974).
    """
    n = _length(log_ratios)
    cut = int(TRIM * n)
    kept = n - 2 * cut
    ordered = np.sort(log_ratios, axis=1)
    centre = ordered[:, cut : n - cut].mean(axis=1)
    winsorised = np.clip(ordered, ordered[:, cut, None], ordered[:, n - cut - 1, None])
    deviations = winsorised - winsorised.mean(axis=1, keepdims=True)
    error = np.sqrt((deviations**2).sum(axis=1) / (kept * (kept - 1)))
    return centre, inflation * _t_quantile(confidence, kept - 1) * error


def mean_t(log_ratios: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Mean with Student's t; arguments, result and errors as `trimmed_t`."""
    n = _length(log_ratios)
    error = log_ratios.std(axis=1, ddof=1) / np.sqrt(n)
    return log_ratios.mean(axis=1), _t_quantile(confidence, n - 1) * error


def signed_rank(log_ratios: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Walsh averages between two order statistics: free of the tails' shape; as `mean_t` otherwise.

    Source: Hodges and Lehmann, Ann. Math. Statist. 34 (1963); normal approximation of Wilcoxon's
    signed-rank distribution with continuity correction.
    """
    n = _length(log_ratios)
    first, second = np.triu_indices(n)
    averages = 0.5 * (log_ratios[:, first] + log_ratios[:, second])
    count = averages.shape[1]
    spread = np.sqrt(n * (n + 1) * (2 * n + 1) / 24.0)
    rank = count / 2.0 - float(stats.norm.ppf(0.5 + 0.5 * confidence)) * spread - 0.5
    low = max(int(rank), 0)
    averages.partition((low, count - 1 - low), axis=1)
    least, most = averages[:, low], averages[:, count - 1 - low]
    return 0.5 * (least + most), 0.5 * (most - least)


def two_stage(log_ratios: Floats, confidence: float, first: int = 12) -> tuple[Floats, Floats]:
    """Mean with the spread of the first rounds only: exact for Gaussian data at any stop.

    Args:
        log_ratios: (series, n), n at least `first`.
        confidence: Kept by the rule that stops as soon as the half-width is small enough.
        first: Rounds of the first stage.

    Returns:
        (series,) centres and (series,) half-widths.

    Source: Stein, "A two-sample test for a linear hypothesis whose power is independent of the
    variance", Ann. Math. Statist. 16 (1945).
    """
    n = _length(log_ratios)
    error = log_ratios[:, :first].std(axis=1, ddof=1) / np.sqrt(n)
    return log_ratios.mean(axis=1), _t_quantile(confidence, first - 1) * error


def mixture_t(log_ratios: Floats, confidence: float, tuned_for: int = 30) -> tuple[Floats, Floats]:
    """Confidence sequence: holds at all lengths at once, so also when one stops at will.

    The likelihood ratio of the t statistic, mixed over standardised effects with a Gaussian, is
    a martingale at the truth; the interval holds every centre whose ratio stays below 1 / alpha.

    Args:
        log_ratios: (series, n), n at least `MIN_ROUNDS`.
        confidence: That no interval of a series ever misses, for Gaussian data.
        tuned_for: Length at which the interval is about narrowest for what it guarantees.

    Returns:
        (series,) centres and (series,) half-widths; infinite while a series is too short.

    Source: Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means
    with unknown variance" (arXiv 2310.03722), section 4; scale of the mixture as in
    `asymptotic_sequence`.
    """
    n = _length(log_ratios)
    spread = 1.0 + n * _best_mixture(1.0 - confidence, tuned_for)
    bound = (np.sqrt(spread) / (1.0 - confidence)) ** (2.0 / n)
    error = log_ratios.std(axis=1, ddof=1) / np.sqrt(n)
    if bound >= spread:
        return log_ratios.mean(axis=1), np.full_like(error, np.inf)
    t_squared = (n - 1) * (bound * (1.0 - 1.0 / spread) / (1.0 - bound / spread) - 1.0)
    return log_ratios.mean(axis=1), np.sqrt(t_squared) * error


def asymptotic_sequence(
    log_ratios: Floats, confidence: float, tuned_for: int = 30
) -> tuple[Floats, Floats]:
    """Confidence sequence that holds in the limit of long series; as `mixture_t` otherwise.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory
    and asymptotic confidence sequences" (arXiv 2103.06476), theorem 2.2 and appendix on rho.
    """
    n = _length(log_ratios)
    alpha = 1.0 - confidence
    grown = 1.0 + n * _best_mixture(alpha, tuned_for)
    factor = np.sqrt(2.0 * grown / (grown - 1.0) * np.log(np.sqrt(grown) / alpha) / n)
    return log_ratios.mean(axis=1), factor * log_ratios.std(axis=1, ddof=1)


def _length(log_ratios: Floats) -> int:
    n = int(log_ratios.shape[1])
    if n < MIN_ROUNDS:
        raise InputError(
            f"{n} complete rounds: an interval needs at least {MIN_ROUNDS}; give more time"
        )
    if not np.isfinite(log_ratios).all():
        raise InputError("a log-ratio is not a finite number: a block's median is zero or missing")
    return n


def _best_mixture(alpha: float, tuned_for: int) -> float:
    """The mixture's variance that makes a normal mixture boundary narrowest at a length."""
    return float((-2.0 * np.log(alpha) + np.log(1.0 - 2.0 * np.log(alpha))) / tuned_for)


@lru_cache(maxsize=4096)  # SciPy takes 0.1 ms for each, and the simulation asks for millions
def _t_quantile(confidence: float, df: int) -> float:
    return float(stats.t.ppf(0.5 + 0.5 * confidence, df))
