"""Batch-norm statistics for networks that were never trained.

With default statistics an untrained network's activations vanish or explode with depth, its
outputs stop depending on the input, and every comparison of outputs passes. A few batches of
noise give each layer statistics of its own activations, which is what training would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from export.network.inputs import make_inputs

if TYPE_CHECKING:
    from torch import nn

__all__ = ["calibrate_batchnorm", "has_pristine_batchnorm"]

BATCHES = 3
BATCH_SIZE = 8


def has_pristine_batchnorm(module: nn.Module) -> bool:
    """Say whether the module has batch norms and none has ever seen a batch."""
    import torch

    layers = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    statistics = [
        (m.running_mean, m.running_var)
        for m in layers
        if m.running_mean is not None and m.running_var is not None
    ]
    return bool(statistics) and all(
        not mean.any() and torch.equal(var, torch.ones_like(var)) for mean, var in statistics
    )


def calibrate_batchnorm(
    module: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    seed: int,
    value_range: tuple[float, float] | None = None,
    *,
    dtypes: Sequence[str] = (),
    integers_below: int = 2,
) -> None:
    """Set running statistics to those of seeded noise; the module is changed in place.

    Args:
        module: In evaluation mode; only its batch norms run in training mode meanwhile.
        shapes: The shape of each input, batch first.
        seed: Of the noise; another stream than the parity inputs of the same seed.
        value_range: As in `make_inputs`.
        dtypes: As in `make_inputs`.
        integers_below: As in `make_inputs`.
    """
    import torch

    layers = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative average over the batches
        layer.train()
    wide = [(max(shape[0], BATCH_SIZE), *shape[1:]) for shape in shapes]
    try:
        with torch.no_grad():
            for batch in make_inputs(
                wide,
                seed + 1_000_003,
                BATCHES,
                value_range,
                dtypes=dtypes,
                integers_below=integers_below,
            ):
                module(*map(torch.from_numpy, batch))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
