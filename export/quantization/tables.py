"""Operators of one value in 8 bits: tables of 256 entries.

Between a dequantise and a quantise XNNPACK replaces them, while it loads a file, by a table of what
they make of every integer, so that they cost an instruction for several elements. The arithmetic
below is that of its entries: float32 in this order, and halves away from zero, which no other
operator in integers does.
Source: XNNPACK, ``src/reference/unary-elementwise.cc``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from export.passes._editing import aten

__all__ = ["TABLES", "round_entries"]


def _hard_swish(numbers: Tensor) -> Tensor:
    return (numbers / 6) * (numbers + 3).clamp(0, 6)


TABLES: Mapping[Any, Callable[[Tensor], Tensor]] = {aten.hardswish.default: _hard_swish}
"""Operator to its arithmetic, from float32 numbers to float32 numbers."""


def round_entries(numbers: Tensor, scale: Tensor, zero_point: Tensor | int) -> Tensor:
    """Return the integers that numbers are stored as, float64, not saturated yet.

    Args:
        numbers: float32.
        scale: Of the result, float32.
        zero_point: Of the result.
    """
    units = (numbers * (1.0 / scale) + zero_point).double()
    return torch.sign(units) * torch.floor(units.abs() + 0.5)
