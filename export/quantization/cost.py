"""What did the lower precision cost? Measured on samples that the calibration never saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from export.sets.manifest import PrecisionCost

__all__ = ["measure_cost"]

_Outputs = Sequence[Sequence[npt.NDArray[Any]]]


def measure_cost(exact: _Outputs, found: _Outputs, labels: Sequence[int] = ()) -> PrecisionCost:
    """Compare the outputs of a file with the float network's.

    Args:
        exact: Per sample, all outputs of the float network.
        found: Per sample, all outputs of the file, as numbers.
        labels: Class of each row over all samples, or empty.

    Returns:
        The signal to quantisation noise ratio of the first output over all samples; and, where
        outputs are rows of scores or tell the best classes, how often both have the same best
        class and how often each has the right one.
    """
    wanted, have = (
        np.stack([outputs[0] for outputs in samples]).astype(np.float64)
        for samples in (exact, found)
    )
    noise = float(np.square(wanted - have).sum())
    signal = float(np.square(wanted).sum())
    sqnr = 10 * np.log10(max(signal, 1e-30) / max(noise, signal * 1e-24, 1e-54))
    agreement = float_top1 = top1 = None
    best, chosen = (_find_best(samples) for samples in (exact, found))
    if best is not None and chosen is not None:
        agreement = float((best == chosen).mean())
        if labels:
            known = np.array(labels)
            float_top1 = float((best[: len(known)] == known).mean())
            top1 = float((chosen[: len(known)] == known).mean())
    return PrecisionCost(
        samples=len(wanted),
        sqnr_db=float(sqnr),
        agreement=agreement,
        float_top1=float_top1,
        top1=top1,
    )


def _find_best(samples: _Outputs) -> npt.NDArray[np.intp] | None:
    """Return the best class of each row over all samples; None where outputs do not tell one."""
    last = np.stack([outputs[-1] for outputs in samples])
    if last.dtype == np.int32:  # of a head: a class for each row, or a row of them, the best first
        return last.reshape(last.shape[0] * last.shape[1], -1)[:, 0].astype(np.intp)
    first = np.stack([outputs[0] for outputs in samples])
    if first.ndim != 3 or first.shape[2] < 2:
        return None
    best: npt.NDArray[np.intp] = first.reshape(-1, first.shape[2]).argmax(1)
    return best
