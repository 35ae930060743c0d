"""What the harness is asked to run: a file, an engine, its data. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from android_bench.records.schedule import Schedule
from export.sets.manifest import PARITY_LIMIT

__all__ = ["Job", "Schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run and how; paths are those of the machine it runs on.

    Attributes:
        model: The file.
        engine: The engine's name.
        threads: Threads of the engine, the calling one included.
        cpu_mask: Bit i set: CPU i allowed; 0 for any.
        inputs: Raw files, one for each input; none for made-up numbers.
        expected: Raw float32 files, one for each output; none for no check.
        batch: Of a ``.pte`` that leaves it open; 0 for the largest it takes.
        limit: Relative L-infinity distance that outputs may have.
    """

    model: str
    engine: str
    threads: int = 1
    cpu_mask: int = 0
    inputs: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    batch: int = 0
    limit: float = PARITY_LIMIT
