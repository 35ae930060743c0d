"""How far outputs of floats are from those that were expected."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.network.inputs import Arrays
from pfd_models.errors import ParityError

__all__ = ["is_float", "relative_linf", "require_finite", "sqnr_db"]

TINY = 1e-12
"""Floor of the denominators: outputs that are all zero are compared absolutely."""


def relative_linf(expected: Arrays, found: Arrays) -> float:
    """Return max |found - expected| / max |expected| of finite arrays, the worst output of floats.

    It is 0.0 where there is no such output.
    """
    return max(
        (
            float(np.max(np.abs(f.astype(np.float64) - e))) / max(float(np.max(np.abs(e))), TINY)
            for e, f in zip(expected, found, strict=True)
            if is_float(e)
        ),
        default=0.0,
    )


def sqnr_db(expected: Arrays, found: Arrays) -> float:
    """Return 10 log10(signal power / error power) in dB of the worst output of floats.

    It is at most 240.
    """
    ratios = [1e24]
    for e, f in zip(expected, found, strict=True):
        if is_float(e):
            signal = float(np.sum(np.square(e, dtype=np.float64)))
            noise = float(np.sum(np.square(f.astype(np.float64) - e)))
            ratios.append((signal + TINY) / (noise + (signal + TINY) * 1e-24))
    return float(10 * np.log10(np.min(ratios)))


def is_float(array: np.ndarray[Any, Any]) -> bool:
    """Say whether an array holds floats."""
    return np.issubdtype(array.dtype, np.floating)


def require_finite(outputs: list[Arrays], what: str) -> None:
    """Refuse outputs that are infinite or no number: max() and min() would pass over them."""
    if not all(np.isfinite(array).all() for sample in outputs for array in sample):
        raise ParityError(f"{what} returns values that are not finite; nothing was published")
