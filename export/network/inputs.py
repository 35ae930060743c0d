"""What a network is fed when nobody brings data: seeded noise, equal on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Arrays", "make_inputs"]

Arrays: TypeAlias = list[np.ndarray[Any, Any]]
"""The inputs or the outputs of one sample, in order."""


def make_inputs(shapes: Sequence[tuple[int, ...]], seed: int, samples: int = 8) -> list[Arrays]:
    """Return `samples` sets of standard normal float32 inputs, equal for equal arguments."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return [
        [generator.standard_normal(shape, dtype=np.float32) for shape in shapes]
        for _ in range(samples)
    ]
