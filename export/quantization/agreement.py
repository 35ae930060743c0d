"""Does a quantised file compute what the integer reference computes?

Where everything computes in integers, XNNPACK's result is determined to the bit, and two runtimes
that disagree in one bit hold two networks. onnxruntime rounds some sums otherwise, by one step,
and depth amplifies it; what computes in float differs between any two runtimes in its last bits.
Those files may differ from the reference by less than the reference itself differs from float, and
than they do: so neither hides behind how wrong the other is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from export.sets.manifest import Parity
from pfd_models.errors import ParityError

__all__ = ["hold_to_reference"]

_Arrays = Sequence[Sequence[npt.NDArray[Any]]]

STEPS_ELSEWHERE = 2
"""How many integers of the output's scale a file may be off on another processor, beside twice what
it is off here: kernels of another instruction set may round a tie otherwise."""


def hold_to_reference(
    reference: _Arrays,
    found: _Arrays,
    exact: _Arrays,
    steps: Sequence[float],
    *,
    what: str,
    to_the_bit: bool,
    ties: Sequence[Sequence[npt.NDArray[np.bool_] | None]] = (),
) -> Parity:
    """Compare a file's outputs with those of `run_integers`.

    Args:
        reference: Per sample, the outputs of `run_integers`, as numbers.
        found: Per sample, the file's, as numbers.
        exact: Per sample, the float network's.
        steps: Of each output, the number that one integer stands for; 0 where it is not stored.
        what: How the error line calls the file.
        to_the_bit: Whether they must be equal.
        ties: Per sample, of each output where it may differ all the same; None for nowhere.

    Raises:
        ParityError: They are not, or differ by more than quantisation itself does.
    """
    worst, noise, limit = 0.0, 240.0, 0.0
    for index, step in enumerate(steps):
        wanted, have, ideal = (
            np.stack([sample[index] for sample in samples]).astype(np.float64)
            for samples in (reference, found, exact)
        )
        if wanted.shape != have.shape or not np.isfinite(have).all():
            raise ParityError(
                f"{what} returns shape {have.shape[1:]} or values that are not finite, expected "
                f"{wanted.shape[1:]}; nothing was published"
            )
        difference = np.abs(have - wanted)
        tied = [mask for sample in ties if (mask := sample[index]) is not None]
        if tied:
            difference[np.stack(tied)] = 0
        unequal = int((difference > 0).sum())
        if reference[0][index].dtype.kind in "iu":
            # Classes. onnxruntime's one step may turn a close decision, as quantising itself may.
            most = 0 if to_the_bit else max(1, int((wanted != ideal).sum()))
            if unequal > most:
                raise ParityError(
                    f"{what} does not compute what the integer reference computes: {unequal} of "
                    f"{difference.size} whole numbers of output {index} differ, at most {most} "
                    "may; nothing was published"
                )
            continue
        size = max(float(np.abs(wanted).max()), 1e-12)
        lost = min(float(np.square(each - ideal).mean()) for each in (wanted, have))
        allowed = max(lost, step**2)
        if (to_the_bit and unequal) or float(np.square(difference).mean()) > allowed:
            bits = "bit-equality" if to_the_bit else f"at most {allowed**0.5:.2e} on average"
            raise ParityError(
                f"{what} does not compute what the integer reference computes: {unequal} of "
                f"{difference.size} values of output {index} differ, by {difference.max():.2e} at "
                f"most and {np.square(difference).mean() ** 0.5:.2e} on average ({bits} is "
                "wanted); nothing was published"
            )
        worst = max(worst, float(difference.max()) / size)
        power = max(float(np.square(wanted).sum()), 1e-30)
        noise = min(
            noise, float(10 * np.log10(power / max(np.square(difference).sum(), power * 1e-24)))
        )
        limit = max(limit, (2 * float(difference.max()) + STEPS_ELSEWHERE * step) / size)
    return Parity(
        samples=len(found),
        relative_linf=worst,
        sqnr_db=noise,
        eager_relative_linf=None,
        limit=limit,
    )
