"""The yardstick: a float64 run of the module, and what float32 PyTorch itself loses."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from export.network.inputs import Arrays
from export.parity.distance import is_float, relative_linf, require_finite
from export.parity.whole_numbers import Mask, find_undecided
from export.sets.manifest import PARITY_LIMIT
from pfd_models.errors import ParityError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ReferenceRun", "make_reference"]

EAGER_MULTIPLE = 10.0
"""How many times eager float32's own distance a file may have: runtimes sum in another order and
approximate exp and tanh. The zoo stays below 4 and a test holds it to that; attention networks
of others have been seen at 7, in stock files too."""

EAGER_FLOOR = 2e-6
"""Distances below this (about 16 units in the last place) are never held against a file."""

SPREAD_MULTIPLE = 100.0
"""Outputs of two inputs must differ by this many times the limit of a file, or the check is
vacuous: then a file that gets the part that depends on the input wrong by 1 % is caught."""


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
    require_finite(exact, "the module")
    reference = ReferenceRun(
        inputs=inputs,
        outputs=exact,
        eager_relative_linf=worst,
        undecided=find_undecided(exact, eager, lambda fed: _run(wide, fed, dtype), inputs),
    )
    if not allow_flat:
        _require_spread(reference, advice)
    return reference


def _require_spread(reference: ReferenceRun, advice: str) -> None:
    """Refuse outputs that change less between inputs than a check of them can see."""
    outputs, needed = reference.outputs, SPREAD_MULTIPLE * reference.limit
    if len(outputs) < 2 or not any(map(is_float, outputs[0])):
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
