"""Does a file compute what the module computes? The yardstick is a float64 run.

Eager float32 is itself 1e-5 away from float64 for these networks, so a file is held to both
an absolute limit and a small multiple of eager's own distance. A non-finite value anywhere is
a failure. A network whose outputs do not depend on the input would pass anything, so that is
checked first: what changes between two inputs must be a hundred times what a file may be off.

Whole numbers and booleans are compared exactly, but where they hang on the last digits of a
float32: the place of a maximum that a second value nearly reaches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

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

Mask: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
"""Of an output's shape."""

EAGER_MULTIPLE = 10.0
"""How many times eager float32's own distance a file may have: runtimes sum in another order and
approximate exp and tanh. The zoo stays below 4 and a test holds it to that; attention networks
of others have been seen at 7, in stock files too."""

EAGER_FLOOR = 2e-6
"""Distances below this (about 16 units in the last place) are never held against a file."""

REWRITE_FLOOR, REWRITE_MULTIPLE = 1e-5, 4.0
"""How far the rewritten graph may be from the float64 run (relative L-infinity): the first, or the
second times the original's own distance in float32, whichever is more. Reason: folded norms sum
other products, no less exactly. The zoo stays below 1.3 times where it is above the first."""

REWRITE_SAMPLES = 2
"""How many samples of one batch the rewritten graph is run on; the files are run on all."""

LEAST_SQNR_DB = 60.0
"""A file must also be this close on average, so that one huge output hides no noise."""

SPREAD_MULTIPLE = 100.0
"""Outputs of two inputs must differ by this many times the limit of a file, or the check is
vacuous: then a file that gets the part that depends on the input wrong by 1 % is caught."""

NUDGE = 1e-6
"""Relative change of the inputs that no float32 runtime can be told from."""

MOST_UNDECIDED = 0.01
"""Share of an output's whole numbers that such a change may alter."""

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
        undecided: Per sample and output, which whole numbers and booleans no file is held to;
            None for an output of floats. Empty where no output is of that kind.
    """

    inputs: list[Arrays]
    outputs: list[Arrays]
    eager_relative_linf: float | None
    undecided: list[list[Mask | None]] = field(default_factory=list)

    @property
    def limit(self) -> float:
        """Return the relative L-infinity distance a float32 file may have."""
        if self.eager_relative_linf is None:
            return PARITY_LIMIT
        return min(PARITY_LIMIT, max(EAGER_FLOOR, EAGER_MULTIPLE * self.eager_relative_linf))


def make_reference(
    module: nn.Module, inputs: list[Arrays], *, allow_flat: bool = False, advice: str = ""
) -> ReferenceRun:
    """Run the module in float64 and in float32 on the inputs.

    Args:
        module: In evaluation mode, on the CPU, float32.
        inputs: Per sample, float32 arrays in PyTorch's layout.
        allow_flat: Accept outputs that do not depend on the input.
        advice: What to do about those, for the error line.

    Raises:
        ParityError: An output is not finite, hangs on the last digits of its input, or outputs
            do not depend on the input.
    """
    import torch

    eager = [_run(module, sample, torch.float32) for sample in inputs]
    wide, dtype, worst = module, torch.float32, None
    try:
        wide, dtype = copy.deepcopy(module).double(), torch.float64
        exact = [_run(wide, sample, dtype) for sample in inputs]
        worst = max(map(relative_linf, exact, eager))
    except RuntimeError:  # the module mixes in float32 constants of its own
        wide, dtype, exact = module, torch.float32, eager
    _require_finite(exact, "the module")
    reference = ReferenceRun(
        inputs=inputs,
        outputs=exact,
        eager_relative_linf=worst,
        undecided=_find_undecided(exact, eager, lambda fed: _run(wide, fed, dtype), inputs),
    )
    if not allow_flat:
        _require_spread(reference, advice)
    return reference


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
    shapes = [[array.shape for array in sample] for sample in reference.inputs]
    errors = [
        relative_linf(expected, run(sample))
        for i, (sample, expected) in enumerate(
            zip(reference.inputs, reference.outputs, strict=True)
        )
        if i < REWRITE_SAMPLES or shapes[i] != shapes[0]  # and every other batch
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
    _require_finite(outputs, what)  # max() and min() would pass over NaN
    _require_equal(reference, outputs, what)
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
    """Return max |found - expected| / max |expected| of finite arrays, the worst output of floats.

    It is 0.0 where there is no such output.
    """
    return max(
        (
            float(np.max(np.abs(f.astype(np.float64) - e))) / max(float(np.max(np.abs(e))), TINY)
            for e, f in zip(expected, found, strict=True)
            if _is_float(e)
        ),
        default=0.0,
    )


def sqnr_db(expected: Arrays, found: Arrays) -> float:
    """Return 10 log10(signal power / error power) in dB of the worst output of floats.

    It is at most 240.
    """
    ratios = [1e24]
    for e, f in zip(expected, found, strict=True):
        if _is_float(e):
            signal = float(np.sum(np.square(e, dtype=np.float64)))
            noise = float(np.sum(np.square(f.astype(np.float64) - e)))
            ratios.append((signal + TINY) / (noise + (signal + TINY) * 1e-24))
    return float(10 * np.log10(np.min(ratios)))


def _is_float(array: np.ndarray[Any, Any]) -> bool:
    return np.issubdtype(array.dtype, np.floating)


def _require_finite(outputs: list[Arrays], what: str) -> None:
    if not all(np.isfinite(array).all() for sample in outputs for array in sample):
        raise ParityError(f"{what} returns values that are not finite; nothing was published")


def _require_equal(reference: ReferenceRun, outputs: list[Arrays], what: str) -> None:
    """Hold whole numbers and booleans to the reference's, but for those that are undecided."""
    for expected, found, undecided in zip(
        reference.outputs, outputs, reference.undecided, strict=False
    ):
        for index, mask in enumerate(undecided):
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


def _find_undecided(
    exact: list[Arrays],
    eager: list[Arrays],
    run: Callable[[Arrays], Arrays],
    inputs: list[Arrays],
) -> list[list[Mask | None]]:
    """Find the whole numbers that another rounding of the same arithmetic changes.

    Those are where the float32 run differs, or the exact run on inputs that are nudged.
    """
    if all(_is_float(array) for array in exact[0]):
        return []
    generator = np.random.Generator(np.random.PCG64(0))
    undecided: list[list[Mask | None]] = []
    for sample, outputs, rounded in zip(inputs, exact, eager, strict=True):
        masks = [None if _is_float(o) else o != r for o, r in zip(outputs, rounded, strict=True)]
        for _ in range(2):
            nudged = run([_nudge(array, generator) for array in sample])
            masks = [
                None if mask is None else mask | (o != n)
                for mask, o, n in zip(masks, outputs, nudged, strict=True)
            ]
        undecided.append(masks)
    for index, first in enumerate(undecided[0]):
        if first is not None:
            share = float(np.mean([masks[index] for masks in undecided]))
            if share > MOST_UNDECIDED:
                raise ParityError(
                    f"output {index} is {exact[0][index].dtype} and {share:.0%} of it changes "
                    f"when the input changes by {NUDGE:.0e} of itself, so no file can be held to "
                    "it; return the floats that it is made from"
                )
    return undecided


def _nudge(array: np.ndarray[Any, Any], generator: np.random.Generator) -> np.ndarray[Any, Any]:
    if not _is_float(array):
        return array
    factors = 1 + NUDGE * generator.uniform(-1, 1, array.shape)
    nudged: np.ndarray[Any, Any] = array * factors
    return nudged


def _require_spread(reference: ReferenceRun, advice: str) -> None:
    """Refuse outputs that change less between inputs than a check of them can see."""
    outputs, needed = reference.outputs, SPREAD_MULTIPLE * reference.limit
    if len(outputs) < 2 or not any(map(_is_float, outputs[0])):
        return
    shapes = [[array.shape for array in sample] for sample in outputs]
    alike = [other for other, s in zip(outputs, shapes, strict=True) if s == shapes[0]]
    spread = max(relative_linf(outputs[0], other) for other in alike)
    if not spread >= needed:
        raise ParityError(
            f"outputs barely depend on the input: between inputs they differ by {spread:.1e} of "
            f"their size, and a check that means anything needs {needed:.1e}"
            + (f"; {advice}" if advice else "")
        )


def _run(module: nn.Module, sample: Arrays, dtype: Any) -> Arrays:
    """Run the module; inputs of floats are converted to `dtype`."""
    import torch
    from torch.utils import _pytree

    tensors = [torch.from_numpy(array) for array in sample]
    with torch.no_grad():
        result = module(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))
    return [leaf.detach().numpy() for leaf in _pytree.tree_leaves(result)]
