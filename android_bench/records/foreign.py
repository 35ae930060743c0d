"""A latency that somebody else measured and published: shown beside ours, compared with nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from android_bench.records.field_checks import at_least, required, texts

__all__ = ["ForeignResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignResult:
    """A published latency.

    Attributes:
        source: Who publishes it, as ``litert-leaderboard``.
        row_id: What the source calls the row.
        measured_on: The day, as the source writes it.
        model: The network, as the source calls it.
        file: The measured file's name.
        device: As the source calls it.
        os: System and version; empty where it does not say.
        accelerator: ``cpu``, ``gpu``, or as the source says.
        delegate: What ran the operators; empty where it does not say.
        median_ms: Median latency.
        p95_ms: 95th percentile; None where it does not say.
        runs: Inferences; None where it does not say.
        runtime: Name and version of the runtime.
        silent_about: What one would have to know to compare it, and the source does not say.
    """

    source: str
    row_id: str
    measured_on: str
    model: str
    file: str
    device: str
    os: str = ""
    accelerator: str
    delegate: str = ""
    median_ms: float
    p95_ms: float | None = None
    runs: int | None = None
    runtime: str
    silent_about: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "source", "row_id", "measured_on", "model", "file", "device")
        texts(self, "accelerator", "runtime")
        at_least(self, 1, "runs")
        for name in ("median_ms", "p95_ms"):
            value = getattr(self, name)
            right = value is None or (value > 0 and math.isfinite(value))
            required(self, right, name, "give a finite time above 0 ms")
