"""Every random source of a training run, each with a name and a seed of its own.

A seed is a function of the run's seed, the source's name and where in the run it is, so that an
epoch, a batch or a process can be repeated alone and sources never share a stream.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch

__all__ = ["SOURCES", "Source", "seed_inside", "seed_of"]

Source: TypeAlias = Literal["weights", "order", "augmentation", "network"]

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "weights": "initial weights; one draw a run",
        "order": "order of the training images; one permutation an epoch",
        "augmentation": "crops, flips and colours; one stream a batch, whichever worker loads it",
        "network": "dropout; one stream a process through the whole run, kept in the checkpoint",
    }
)
"""Name to what is drawn from it, and how often it is seeded."""


def seed_of(run_seed: int, source: Source, *place: int) -> int:
    """Return the seed, 63 bits, of a source at a place such as (epoch, batch)."""
    text = "/".join(map(str, (run_seed, source, *place)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextlib.contextmanager
def seed_inside(seed: int) -> Iterator[None]:
    """Seed PyTorch's CPU generator inside; outside, it goes on as if nothing had been drawn."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
