"""What did the lower precision cost? Measured on samples that the calibration never saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from export.sets.manifest import PrecisionCost

__all__ = ["find_classes", "find_sqnr_db", "measure_cost"]

_Outputs = Sequence[npt.NDArray[np.floating]]


def find_classes(
    samples: Sequence[Sequence[npt.NDArray[Any]]],
) -> npt.NDArray[Any] | None:
    """Return the best class of each row, where a network's last output tells the classes.

    Args:
        samples: Per sample, all outputs; a head's classes are int32, (N,) or (N, K) with the best
            first.
    """
    if samples[0][-1].dtype != np.int32:
        return None
    last = np.stack([outputs[-1] for outputs in samples])
    return last.reshape(last.shape[0] * last.shape[1], -1)[:, 0]


def find_sqnr_db(exact: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> float:
    """Return the signal to quantisation noise ratio in dB, 240 where there is no noise."""
    signal, noise = float(np.square(exact).sum()), float(np.square(exact - found).sum())
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, signal * 1e-24, 1e-54)))


def measure_cost(
    exact: _Outputs,
    found: _Outputs,
    labels: Sequence[int] = (),
    *,
    classes: tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None] = (None, None),
) -> PrecisionCost:
    """Compare the first output of a file with the float network's.

    Args:
        exact: Per sample, of the float network.
        found: Per sample, of the file, as numbers.
        labels: Class of each row over all samples, or empty.
        classes: From `find_classes` of both, where the first output is no row of all scores.

    Returns:
        The signal to quantisation noise ratio over all samples; and, where outputs are rows of
        scores, how often both have the same best class and how often each has the right one.
    """
    wanted, have = np.stack(exact).astype(np.float64), np.stack(found).astype(np.float64)
    agreement = float_top1 = top1 = None
    best, chosen = classes
    if best is None and wanted.ndim == 3 and wanted.shape[2] > 1:
        best, chosen = (a.reshape(-1, a.shape[2]).argmax(1) for a in (wanted, have))
    if best is not None and chosen is not None:
        agreement = float((best == chosen).mean())
        if labels:
            known = np.array(labels)
            float_top1 = float((best[: len(known)] == known).mean())
            top1 = float((chosen[: len(known)] == known).mean())
    return PrecisionCost(
        samples=len(wanted),
        sqnr_db=find_sqnr_db(wanted, have),
        agreement=agreement,
        float_top1=float_top1,
        top1=top1,
    )
