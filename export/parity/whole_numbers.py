"""Outputs of whole numbers and booleans: compared exactly, but where rounding decides them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from export.network.inputs import Arrays
from export.parity.distance import is_float
from pfd_models.errors import ParityError

__all__ = ["Mask", "find_undecided", "require_equal"]

Mask: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
"""Of an output's shape."""

NUDGE = 1e-6
"""Relative change of the inputs that no float32 runtime can be told from."""

MOST_UNDECIDED = 0.01
"""Share of an output's whole numbers that such a change may alter."""


def find_undecided(
    exact: list[Arrays],
    eager: list[Arrays],
    run: Callable[[Arrays], Arrays],
    inputs: list[Arrays],
) -> list[list[Mask | None]]:
    """Find the whole numbers that another rounding of the same arithmetic changes.

    Those are where the float32 run differs, or the exact run on inputs that are nudged.
    """
    if all(is_float(array) for array in exact[0]):
        return []
    generator = np.random.Generator(np.random.PCG64(0))
    undecided: list[list[Mask | None]] = []
    for sample, outputs, rounded in zip(inputs, exact, eager, strict=True):
        masks = [None if is_float(o) else o != r for o, r in zip(outputs, rounded, strict=True)]
        for _ in range(2):
            nudged = run([_nudge(array, generator) for array in sample])
            masks = [
                None if mask is None else mask | (o != n)
                for mask, o, n in zip(masks, outputs, nudged, strict=True)
            ]
        undecided.append(masks)
    for index, first in enumerate(undecided[0]):
        if first is not None:
            # Of one length each: the samples of an open batch differ in shape.
            found = [mask for masks in undecided if (mask := masks[index]) is not None]
            share = float(np.mean(np.concatenate([mask.ravel() for mask in found])))
            if share > MOST_UNDECIDED:
                raise ParityError(
                    f"output {index} is {exact[0][index].dtype} and {share:.0%} of it changes "
                    f"when the input changes by {NUDGE:.0e} of itself, so no file can be held to "
                    "it; return the floats that it is made from"
                )
    return undecided


def _nudge(array: np.ndarray[Any, Any], generator: np.random.Generator) -> np.ndarray[Any, Any]:
    if not is_float(array):
        return array
    factors = 1 + NUDGE * generator.uniform(-1, 1, array.shape)
    nudged: np.ndarray[Any, Any] = array * factors
    return nudged


def require_equal(
    expected_outputs: list[Arrays],
    undecided: list[list[Mask | None]],
    outputs: list[Arrays],
    what: str,
) -> None:
    """Hold whole numbers and booleans to the reference's, but for those that are undecided."""
    for expected, found, masks in zip(expected_outputs, outputs, undecided, strict=False):
        for index, mask in enumerate(masks):
            if mask is None:
                continue
            wrong = (found[index] != expected[index]) & ~mask
            if wrong.any():
                place = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise ParityError(
                    f"{what} does not compute what the module computes: {int(wrong.sum())} of "
                    f"{wrong.size} {expected[index].dtype} values of output {index} differ, first "
                    f"{found[index][place]} for {expected[index][place]} at {place}; nothing was "
                    "published"
                )
