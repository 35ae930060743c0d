"""XNNPACK: float and 8-bit kernels for ARM and x86, the delegate of every Android build."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner

__all__ = ["partitioners", "precisions", "unavailable"]

precisions = ("fp32", "fp16", "int8")


def partitioners() -> list[Partitioner]:
    """Return ExecuTorch's XNNPACK partitioner."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return [XnnpackPartitioner()]


def unavailable() -> str | None:
    """It comes with ExecuTorch."""
    return None
