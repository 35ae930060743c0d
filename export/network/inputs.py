"""What a network is fed when nobody brings data: seeded noise, equal on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Arrays", "fill_dtypes", "make_inputs", "widen_inputs"]

Arrays: TypeAlias = list[np.ndarray[Any, Any]]
"""The inputs or the outputs of one sample, in order."""


def fill_dtypes(shapes: Sequence[object], dtypes: Sequence[str]) -> list[str]:
    """Return a dtype for each input, float32 where none is said."""
    return [*dtypes, *["float32"] * (len(shapes) - len(dtypes))]


def make_inputs(
    shapes: Sequence[tuple[int, ...]],
    seed: int,
    samples: int = 8,
    value_range: tuple[float, float] | None = None,
    *,
    dtypes: Sequence[str] = (),
    integers_below: int = 2,
) -> list[Arrays]:
    """Return `samples` sets of noise, equal for equal arguments.

    Args:
        shapes: Of each input, batch first.
        seed: Of the noise.
        samples: How many sets.
        value_range: Lowest and highest value; None stands for standard normal noise and, where the
            input is of bytes or booleans, for all their values. Within the range each row of the
            first two dimensions, an image's channel, has a brightness and a contrast of its own,
            without which all images of noise look alike to a network that averages.
        dtypes: NumPy's name for each input, float32 where nothing is said.
        integers_below: Without a range, wider integers begin at 0 and stay below this, for they
            index something.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    kinds = fill_dtypes(shapes, dtypes)

    def make(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
        if dtype == "bool":
            return generator.integers(0, 2, shape).astype(bool)
        if dtype != "float32":
            known = {"uint8": (0, 255), "int8": (-128, 127)}
            low, high = value_range or known.get(dtype, (0, integers_below - 1))
            return generator.integers(int(low), int(high) + 1, shape).astype(dtype)
        if value_range is None:
            return generator.standard_normal(shape, dtype=np.float32)
        ends = generator.uniform(*value_range, (2, *shape[:2], *[1] * (len(shape) - 2)))
        low, high = np.min(ends, 0), np.max(ends, 0)
        noise: np.ndarray[Any, Any] = low + (high - low) * generator.uniform(size=shape)
        return noise.astype(np.float32)

    return [[make(*each) for each in zip(shapes, kinds, strict=True)] for _ in range(samples)]


def widen_inputs(
    samples: Sequence[Arrays], batches: Sequence[tuple[int, int] | None]
) -> list[Arrays]:
    """Return one sample of an inner batch and one of the largest, put together from others.

    Args:
        samples: Of the least batch.
        batches: For each input, the least and largest batch; None where it is fixed.

    Returns:
        Nothing where every batch is fixed, and no inner one where the range has none.
    """
    batch = next((b for b in batches if b is not None), None)
    if batch is None:
        return []
    least, largest = batch

    def widen(size: int, first: int) -> Arrays:
        order = [samples[(first + i) % len(samples)] for i in range(-(-size // least))]
        return [
            order[0][i] if fixed is None else np.concatenate([s[i] for s in order])[:size]
            for i, fixed in enumerate(batches)
        ]

    inner = (least + largest) // 2
    sizes = [largest] if inner == least else [inner, largest]
    return [widen(size, first) for first, size in enumerate(sizes)]
