"""Portable: ExecuTorch's own reference kernels, no delegate. Slow, and a yardstick."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner

__all__ = ["partitioners", "precisions", "unavailable"]

precisions = ("fp32",)


def partitioners() -> list[Partitioner]:
    """Return none, so that every operator stays with the portable kernels."""
    return []


def unavailable() -> str | None:
    """It comes with ExecuTorch."""
    return None
