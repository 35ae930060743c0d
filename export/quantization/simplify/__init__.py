"""Rewrites that only a quantised network needs, each file one, in the order of `PASSES`.

They are written as those of `export.passes`: a module with ``rewrite(graph) -> int``, the reason
and the algebra in its docstring. In float they would cost time or gain none; in integers each
spares an operator, a rounding, or a conversion back to float.
"""

from __future__ import annotations

from types import ModuleType

from export.passes import fold_batch_norms
from export.quantization.simplify import (
    convolve_averages,
    convolve_batch_norms,
    drop_copies,
    fold_pads,
    fold_shifts,
    multiply_divisions,
    push_factors,
    push_norms_into_sums,
    use_constant_operands,
)

__all__ = ["PASSES"]

PASSES: tuple[ModuleType, ...] = (
    drop_copies,
    fold_batch_norms,
    multiply_divisions,
    fold_pads,
    convolve_averages,
    push_norms_into_sums,    # before they go the other way
    convolve_batch_norms,
    push_factors,            # after all that leaves factors behind
    fold_shifts,
    use_constant_operands,   # last: the passes before read plain numbers
)  # fmt: skip
