"""Weights of a network that was trained in 8-bit integers, with the scales of its values.

Such a file holds another network than `save_weights` writes: batch norms are folded, and each
layer's weights are those of the exporter's graph. It also keeps the float network that the
training began with; only the exporter puts the two together.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pfd_models.checkpoints.file import read_checkpoint
from pfd_models.errors import WeightsError
from pfd_models.files import atomic_write
from pfd_models.zoo.spec import ModelSpec

__all__ = ["QuantizedWeights", "load_quantized", "refuse_quantized", "save_quantized"]

_FORMAT = "pfd-quantized-weights"
_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedWeights:
    """What quantisation-aware training ends with.

    Attributes:
        spec: The network.
        start: State dict of the float network that the training began with.
        graph: SHA-256 of the exporter's graph, whose layers and values the names are.
        layers: Name of a layer in the exporter's graph, and ``weight`` or ``bias``, to float32
            values that the exporter rounds.
        affines: Name of a stored value to its scale and zero point.
        dataset: What it was trained on.
        samples: Training images whose values the scales cover.
        seed: Of the run, and of the choice of those images.
    """

    spec: ModelSpec
    start: Mapping[str, Tensor]
    graph: str
    layers: Mapping[str, Tensor]
    affines: Mapping[str, tuple[float, int]]
    dataset: str
    samples: int
    seed: int


def save_quantized(weights: QuantizedWeights, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        OutputError: The folder cannot be written or the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(
        {
            "format": _FORMAT,
            "schema_version": _SCHEMA_VERSION,
            "spec": weights.spec.to_dict(),
            "start": _on_cpu(weights.start),
            "graph": weights.graph,
            "layers": _on_cpu(weights.layers),
            "affines": dict(weights.affines),
            "dataset": weights.dataset,
            "samples": weights.samples,
            "seed": weights.seed,
        },
        buffer,
    )
    atomic_write(path, buffer.getvalue())


def load_quantized(path: Path) -> QuantizedWeights | None:
    """Read a file of `save_quantized`; None where it is a checkpoint of another kind.

    Raises:
        WeightsError: It cannot be read, is damaged, or another version wrote it.
    """
    stored = read_checkpoint(path)
    if not isinstance(stored, Mapping) or stored.get("format") != _FORMAT:
        return None
    if stored.get("schema_version") != _SCHEMA_VERSION:
        raise WeightsError(
            f"{path} has schema version {stored.get('schema_version')}, this program reads "
            f"{_SCHEMA_VERSION}; use the version of this program that wrote it"
        )
    try:
        return QuantizedWeights(
            spec=ModelSpec.from_dict(stored["spec"]),
            affines={name: (float(s), int(z)) for name, (s, z) in stored["affines"].items()},
            **{
                name: stored[name]
                for name in ("start", "graph", "layers", "dataset", "samples", "seed")
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is damaged: it lacks {error}") from error


def refuse_quantized(stored: Any, path: Path) -> None:
    """Refuse to take weights that were trained in integers for those of a float network.

    Raises:
        WeightsError: They are such.
    """
    if not isinstance(stored, Mapping):
        return
    if stored.get("format") == _FORMAT:
        raise WeightsError(
            f"{path} was trained in 8-bit integers (--qat) and is no float network; build it with "
            "--precision int8 alone, or give the float checkpoint that its training began with"
        )
    if stored.get("in_integers"):
        raise WeightsError(
            f"{path} is the state of a run in 8-bit integers (--qat); what can be built is the "
            "best.pt beside it, with --precision int8"
        )


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}
