"""Where a quantised network leaves the float one, and where a file leaves the integer reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from export.network.inputs import Arrays
from export.quantization.cost import find_sqnr_db
from export.quantization.integer_reference import run_integers
from export.quantization.quantize import Quantized, Simplified
from export.quantization.scales import Affine
from export.quantization.sensitivity.handed_out import HandedOut
from export.quantization.walk import call, walk

__all__ = ["InnerValue", "follow"]

SAMPLES = 4
"""How many of the held samples are followed; the files return every inner value of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerValue:
    """One stored value of the whole quantised network.

    Attributes:
        name: In the graph and in the ``.onnx``.
        sqnr_db: Of the integer reference against the float run, over all samples.
        steps: For each format, by how many integers its file differs from the reference at most.
    """

    name: str
    sqnr_db: float
    steps: Mapping[str, int]


def follow(
    network: Simplified,
    affines: Mapping[fx.Node, Affine],
    quantized: Quantized,
    handed: HandedOut,
    held: Sequence[Sequence[Tensor]],
    files: Mapping[str, Callable[[Arrays], Arrays]],
) -> dict[fx.Node, InnerValue]:
    """Walk the float network, the integer reference and the files side by side.

    Args:
        network: In float.
        affines: From `choose_scales`.
        quantized: The same network, quantised.
        handed: Of `quantized`.
        held: To run on: the first `SAMPLES`.
        files: Each format's, written from `handed`.

    Returns:
        Each value by the node that it belongs to in `network`.
    """
    held = held[:SAMPLES]
    exact = {
        node: torch.stack(list(values)).double().numpy()
        for node, values in walk(network.module.graph, held, call)
        if node in affines
    }
    reference = _stack([t.numpy() for t in run_integers(handed.program, s)] for s in held)
    found = {
        kind: _stack(run([t.numpy() for t in sample]) for sample in held)
        for kind, run in files.items()
    }
    values = {}
    for node, known in zip(network.list_stored(affines), quantized.values, strict=True):
        place = handed.places[known.name]
        wanted = reference[place]
        values[node] = InnerValue(
            name=known.name,
            sqnr_db=find_sqnr_db(exact[node], wanted),
            steps={
                kind: round(float(np.abs(outputs[place] - wanted).max()) / known.scale)
                for kind, outputs in found.items()
            },
        )
    return values


def _stack(runs: Iterable[Arrays]) -> list[np.ndarray[Any, Any]]:
    """Return each output over all samples, float64."""
    return [np.stack(column).astype(np.float64) for column in zip(*runs, strict=True)]
