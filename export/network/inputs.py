"""What a network is fed when nobody brings data: seeded noise, equal on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Arrays", "make_inputs"]

Arrays: TypeAlias = list[np.ndarray[Any, Any]]
"""The inputs or the outputs of one sample, in order."""


def make_inputs(
    shapes: Sequence[tuple[int, ...]],
    seed: int,
    samples: int = 8,
    *,
    dtypes: Sequence[str] = (),
    integers_below: int = 2,
) -> list[Arrays]:
    """Return `samples` sets of seeded inputs, equal for equal arguments.

    Args:
        shapes: Of each input.
        seed: Of the noise.
        samples: How many sets.
        dtypes: NumPy's name for each input, float32 where nothing is said. Floats are standard
            normal, bytes and booleans cover their whole range.
        integers_below: Wider integers begin at 0 and stay below this: they index something.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    kinds = [*dtypes, *["float32"] * (len(shapes) - len(dtypes))]
    return [
        [
            _make_input(generator, shape, kind, integers_below)
            for shape, kind in zip(shapes, kinds, strict=True)
        ]
        for _ in range(samples)
    ]


def _make_input(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: str, integers_below: int
) -> np.ndarray[Any, Any]:
    if dtype == "float32":
        return generator.standard_normal(shape, dtype=np.float32)
    least, above = {"bool": (0, 2), "uint8": (0, 256), "int8": (-128, 128)}.get(
        dtype, (0, integers_below)
    )
    return generator.integers(least, above, shape).astype(dtype)
