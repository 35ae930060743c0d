"""Does a file compute what the module computes? The yardstick is a float64 run.

Eager float32 is itself 1e-5 away from float64 for these networks, so a file is held to both
an absolute limit and a small multiple of eager's own distance. A non-finite value anywhere is
a failure. Networks whose outputs do not depend on the input would pass anything, so that is
checked first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.network.inputs import Arrays
from export.sets.manifest import PARITY_LIMIT, Parity
from pfd_models.errors import ParityError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "ReferenceRun",
    "check_rewrite",
    "compare",
    "make_reference",
    "relative_linf",
    "save_samples",
    "sqnr_db",
]

EAGER_MULTIPLE = 10.0
"""How many times eager float32's own distance a file may have: runtimes sum in another order and
approximate exp and tanh. The zoo stays below 4 and a test holds it to that; attention networks
of others have been seen at 7, in stock files too."""

EAGER_FLOOR = 2e-6
"""Distances below this (about 16 units in the last place) are never held against a file."""

REWRITE_FLOOR, REWRITE_MULTIPLE = 1e-5, 4.0
"""How far the rewritten graph may be from the float64 run (relative L-infinity): the first, or the
second times the original's own distance in float32, whichever is more. Reason: folded norms sum
other products, no less exactly. A test holds the zoo to it."""

REWRITE_SAMPLES = 2
"""How many of the samples the rewritten graph is run on; the files are run on all."""

LEAST_SQNR_DB = 60.0
"""A file must also be this close on average, so that one huge output hides no noise."""

LEAST_SPREAD = 100 * PARITY_LIMIT
"""Outputs of two inputs must differ by this share of their size, or the check is vacuous."""

TINY = 1e-12
"""Floor of the denominators: outputs that are all zero are compared absolutely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRun:
    """Seeded inputs and what the module makes of them.

    Attributes:
        inputs: Per sample, the float32 inputs in PyTorch's layout.
        outputs: Per sample, the float64 outputs (float32 where the module refuses float64).
        eager_relative_linf: Worst distance of the float32 eager run from them; None where the
            module refuses float64 and eager float32 is itself the yardstick.
    """

    inputs: list[Arrays]
    outputs: list[Arrays]
    eager_relative_linf: float | None

    @property
    def limit(self) -> float:
        """Return the relative L-infinity distance a float32 file may have."""
        if self.eager_relative_linf is None:
            return PARITY_LIMIT
        return min(PARITY_LIMIT, max(EAGER_FLOOR, EAGER_MULTIPLE * self.eager_relative_linf))


def make_reference(module: nn.Module, inputs: list[Arrays]) -> ReferenceRun:
    """Run the module in float64 and in float32 on the inputs.

    Args:
        module: In evaluation mode, on the CPU, float32.
        inputs: Per sample, float32 arrays in PyTorch's layout.

    Raises:
        ParityError: An output is not finite, or outputs do not depend on the input.
    """
    import torch

    eager = [_run(module, sample, torch.float32) for sample in inputs]
    try:
        wide = copy.deepcopy(module).double()
        exact = [_run(wide, sample, torch.float64) for sample in inputs]
        worst: float | None = max(map(relative_linf, exact, eager))
    except RuntimeError:  # the module mixes in float32 constants of its own
        exact, worst = eager, None
    _require_finite(exact, "the module")
    _require_spread(exact)
    return ReferenceRun(inputs=inputs, outputs=exact, eager_relative_linf=worst)


def check_rewrite(
    reference: ReferenceRun, run: Callable[[Arrays], Arrays], rewrites: Sequence[str]
) -> None:
    """Hold a rewritten graph against the float64 run of the module as it was.

    Args:
        reference: From `make_reference`.
        run: Runs the rewritten graph in float32.
        rewrites: Which ones fired, for the error line.

    Raises:
        ParityError: The rewritten graph computes something else.
    """
    limit = reference.limit
    if reference.eager_relative_linf is not None:
        limit = min(limit, max(REWRITE_FLOOR, REWRITE_MULTIPLE * reference.eager_relative_linf))
    outputs = [run(sample) for sample in reference.inputs[:REWRITE_SAMPLES]]
    errors = list(map(relative_linf, reference.outputs, outputs))
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
    _require_finite(outputs, what)  # max() and min() would pass over NaN
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


def relative_linf(expected: Arrays, found: Arrays) -> float:
    """Return max |found - expected| / max |expected| of finite arrays, the worst output."""
    return float(
        np.max(
            [
                np.max(np.abs(f.astype(np.float64) - e)) / max(float(np.max(np.abs(e))), TINY)
                for e, f in zip(expected, found, strict=True)
            ]
        )
    )


def sqnr_db(expected: Arrays, found: Arrays) -> float:
    """Return 10 log10(signal power / error power) in dB, the worst output, at most 240."""
    ratios = []
    for e, f in zip(expected, found, strict=True):
        signal = float(np.sum(np.square(e, dtype=np.float64)))
        noise = float(np.sum(np.square(f.astype(np.float64) - e)))
        ratios.append((signal + TINY) / (noise + (signal + TINY) * 1e-24))
    return float(10 * np.log10(np.min(ratios)))


def _require_finite(outputs: list[Arrays], what: str) -> None:
    if not all(np.isfinite(array).all() for sample in outputs for array in sample):
        raise ParityError(f"{what} returns values that are not finite; nothing was published")


def _require_spread(outputs: list[Arrays]) -> None:
    for index in range(1, len(outputs)):
        spread = relative_linf(outputs[0], outputs[index])
        if not spread >= LEAST_SPREAD:
            raise ParityError(
                f"outputs barely depend on the input (two inputs differ by {spread:.1e} of the "
                f"output, at least {LEAST_SPREAD:.0e} is needed for a check that means anything); "
                "give trained weights"
            )


def _run(module: nn.Module, sample: Arrays, dtype: Any) -> Arrays:
    import torch
    from torch.utils import _pytree

    with torch.no_grad():
        result = module(*(torch.from_numpy(array).to(dtype) for array in sample))
    return [leaf.detach().numpy() for leaf in _pytree.tree_leaves(result)]
