"""The result of an analysis: plain data, a layer a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from export.sets.manifest import PrecisionCost

__all__ = ["DIVERGED_DB", "LayerRow", "Sensitivity"]

SCHEMA_VERSION = 1

DIVERGED_DB = 20.0
"""Below this signal to noise ratio a layer's result has left the float run's: the difference is
more than a tenth of the signal's amplitude."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer.

    Attributes:
        name: The module's path; with the operator's name where the module has others below it.
        operators: Their names in the graph; in the ``.onnx`` the names of their results.
        alone: What the network's output loses when this layer alone is quantised.
        inside_db: Signal to quantisation noise ratio of the layer's result in the whole quantised
            network, of the integer reference against the float run; None where it is not stored.
        steps: For each format, by how many integers its file's result differs from the integer
            reference's at most.
    """

    name: str
    operators: tuple[str, ...]
    alone: PrecisionCost
    inside_db: float | None = None
    steps: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What each layer of a network loses in 8 bits.

    Attributes:
        stem: Of the 8-bit set.
        calibration: What the ranges were found on.
        is_synthetic: Whether that was noise, so that the figures mean little.
        followed: How many samples the inner values were compared on.
        whole: What the output loses when everything is quantised, on the samples of the layers.
        kept_float: What computes in float, a line each: operator and cause.
        layers: In the order of computation.
        missing: Why a format has no file to compare, by format.
    """

    stem: str
    calibration: str
    is_synthetic: bool
    followed: int
    whole: PrecisionCost
    kept_float: tuple[str, ...]
    layers: tuple[LayerRow, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def ranked(self) -> list[LayerRow]:
        """Return the layers, the one that alone costs most first."""
        return sorted(self.layers, key=lambda row: row.alone.sqnr_db)

    @property
    def first_diverged(self) -> LayerRow | None:
        """Return the first layer whose result has left the float run's; see `DIVERGED_DB`."""
        return next(
            (r for r in self.layers if r.inside_db is not None and r.inside_db < DIVERGED_DB), None
        )

    def first_unequal(self, kind: str) -> LayerRow | None:
        """Return the first layer in which a format's file differs from the integer reference."""
        return next((row for row in self.layers if row.steps.get(kind, 0)), None)

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the formats whose files were compared."""
        return tuple(dict.fromkeys(kind for row in self.layers for kind in row.steps))
