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
    count_same_padding,
    drop_copies,
    fold_pads,
    fold_shifts,
    keep_clamps_apart,
    multiply_divisions,
    push_factors,
    push_norms_into_sums,
    use_constant_operands,
    widen_convolutions,
)

__all__ = ["PASSES"]

PASSES: tuple[ModuleType, ...] = (
    drop_copies,
    widen_convolutions,      # before the others, which know convolutions of images
    count_same_padding,      # and with numbers
    fold_batch_norms,
    multiply_divisions,
    fold_pads,
    convolve_averages,
    push_norms_into_sums,    # before they go the other way
    convolve_batch_norms,
    push_factors,            # after all that leaves factors behind
    fold_shifts,
    use_constant_operands,   # late: the passes before read plain numbers
    keep_clamps_apart,       # last: what shares a scale hangs on all calls
)  # fmt: skip
