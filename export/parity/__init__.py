"""Does a file compute what the module computes? The yardstick is a float64 run.

Eager float32 is itself 1e-5 away from float64 for these networks, so a file is held to both
an absolute limit and a small multiple of eager's own distance. A non-finite value anywhere is
a failure. A network whose outputs do not depend on the input would pass anything, so that is
checked first: what changes between two inputs must be a hundred times what a file may be off.

Whole numbers and booleans are compared exactly, but where they hang on the last digits of a
float32: the place of a maximum that a second value nearly reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.network.inputs import Arrays
from export.parity.distance import relative_linf, require_finite, sqnr_db
from export.parity.reference import SPREAD_MULTIPLE, ReferenceRun, make_reference
from export.parity.whole_numbers import require_equal
from export.sets.manifest import Parity
from pfd_models.errors import ParityError

__all__ = [
    "LEAST_SQNR_DB",
    "REWRITE_FLOOR",
    "REWRITE_MULTIPLE",
    "SPREAD_MULTIPLE",
    "ReferenceRun",
    "check_rewrite",
    "compare",
    "make_reference",
    "relative_linf",
    "save_samples",
    "sqnr_db",
]

REWRITE_FLOOR, REWRITE_MULTIPLE = 1e-5, 4.0
"""How far the rewritten graph may be from the float64 run (relative L-infinity): the first, or the
second times the original's own distance in float32, whichever is more. Reason: folded norms sum
other products, no less exactly. The zoo stays below 1.3 times where it is above the first."""

_REWRITE_SAMPLES = 2
"""How many samples of one batch the rewritten graph is run on; the files are run on all."""

LEAST_SQNR_DB = 60.0
"""A file must also be this close on average, so that one huge output hides no noise."""


def check_rewrite(
    reference: ReferenceRun,
    run: Callable[[Arrays], Arrays],
    rewrites: Sequence[str],
    *,
    allowed: float = 0.0,
) -> None:
    """Hold a rewritten graph against the float64 run of the module as it was.

    Args:
        reference: From `make_reference`.
        run: Runs the rewritten graph in float32.
        rewrites: Which ones fired, for the error line.
        allowed: How far it may be in any case, where what follows rounds much more than this.

    Raises:
        ParityError: The rewritten graph computes something else.
    """
    limit = reference.limit
    if reference.eager_relative_linf is not None:
        limit = min(limit, max(REWRITE_FLOOR, REWRITE_MULTIPLE * reference.eager_relative_linf))
    limit = max(limit, allowed)
    shapes = [[array.shape for array in sample] for sample in reference.inputs]
    errors = [
        relative_linf(expected, run(sample))
        for i, (sample, expected) in enumerate(
            zip(reference.inputs, reference.outputs, strict=True)
        )
        if i < _REWRITE_SAMPLES or shapes[i] != shapes[0]  # and every other batch
    ]
    if not all(error <= limit for error in errors):  # NaN too
        raise ParityError(
            f"the graph rewrites ({', '.join(rewrites)}) moved the result to {max(errors):.1e} "
            f"from the float64 run, at most {limit:.0e} is allowed; please report this module"
        )


def save_samples(reference: ReferenceRun, path: Path, count: int) -> None:
    """Write the first `count` samples as `sets.manifest.ReferenceData` describes the file."""
    arrays = {
        f"{kind}_{i}": _as_stored(np.stack([sample[i] for sample in samples[:count]]))
        for kind, samples in (("input", reference.inputs), ("output", reference.outputs))
        for i in range(len(samples[0]))
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]  # the stubs take the names for options


def _as_stored(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def compare(reference: ReferenceRun, outputs: list[Arrays], *, what: str) -> Parity:
    """Hold a file's outputs against the reference.

    Args:
        reference: From `make_reference`.
        outputs: Per sample, the file's outputs in PyTorch's layout.
        what: How the error line calls the file.

    Raises:
        ParityError: A shape differs, a value is not finite, or the distance is too large.
    """
    for expected, found in zip(reference.outputs, outputs, strict=True):
        shapes, have = [a.shape for a in expected], [a.shape for a in found]
        if shapes != have:
            raise ParityError(f"{what} returns shapes {have}, the module returns {shapes}")
    require_finite(outputs, what)  # max() and min() would pass over NaN
    require_equal(reference.outputs, reference.undecided, outputs, what)
    worst = max(map(relative_linf, reference.outputs, outputs))
    noise = min(map(sqnr_db, reference.outputs, outputs))
    if worst > reference.limit or noise < LEAST_SQNR_DB:
        raise ParityError(
            f"{what} does not compute what the module computes: relative L-infinity {worst:.2e} "
            f"(limit {reference.limit:.2e}), SQNR {noise:.1f} dB (least {LEAST_SQNR_DB:.0f}); "
            "nothing was published"
        )
    return Parity(
        samples=len(outputs),
        relative_linf=worst,
        sqnr_db=noise,
        eager_relative_linf=reference.eager_relative_linf,
        limit=reference.limit,
    )
