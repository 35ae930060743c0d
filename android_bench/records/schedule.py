"""How a block is warmed up and timed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pfd_models.errors import InputError

__all__ = ["Schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How a block is warmed up and timed.

    Attributes:
        iterations: Timed inferences.
        seconds: Time they take together.
        stop_at_either: End at the first of the two that is reached, not the last.
        max_seconds: End in any case; 0 for no such limit.
        gap_seconds: Pause between inferences.
        warmup_iterations: Least number of untimed inferences.
        warmup_seconds: Least time of them.
        flush_seconds: Samples are written this often, between inferences; and at the end.
        timeout_seconds: For the whole run; then the harness stops it.
    """

    iterations: int = 90
    seconds: float = 0.0
    stop_at_either: bool = False
    max_seconds: float = 0.0
    gap_seconds: float = 0.0
    warmup_iterations: int = 10
    warmup_seconds: float = 0.5
    flush_seconds: float = 1.0
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what would never begin or never end."""
        for name in ("seconds", "max_seconds", "gap_seconds", "warmup_seconds", "flush_seconds"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) <= 1e6, "0 to 1e6 s")
        _require("timeout_seconds", self.timeout_seconds, 0 < self.timeout_seconds <= 1e6, "> 0 s")
        for name in ("iterations", "warmup_iterations"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) <= 10**9, "0 to 1e9")
        timed = self.iterations > 0 or self.seconds > 0
        _require("iterations", self.iterations, timed, "at least 1 where seconds is 0")


def _require(field: str, value: float, right: bool, allowed: str) -> None:
    if not right or not math.isfinite(value):
        raise InputError(f"{field} is {value}: it must be {allowed}")
