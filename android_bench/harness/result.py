"""What one run of the harness told, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from android_bench.records import Flag, OperatorTime, Reading
from export.sets.manifest import TensorSpec

__all__ = ["HarnessResult", "OutputDistance", "Status", "Task", "Verification"]


class Status(Enum):
    """How a run ended."""

    DONE = "done"
    MISMATCH = "mismatch"  # outputs are not what was expected; nothing was timed, or it is void
    REFUSED = "refused"  # the engine or the harness refuses what it was given
    ENVIRONMENT = "environment"  # a library, a CPU or memory is missing
    CRASHED = "crashed"  # the engine's process died
    TIMEOUT = "timeout"  # it was not done in time
    KILLED = "killed"  # somebody stopped it
    LOST = "lost"  # it ended without a last line: killed hard, or the connection broke


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDistance:
    """How far one output is from what was expected, worst over samples.

    Attributes:
        name: The tensor's name.
        relative_linf: max |got - expected| / max |expected|; infinite when one is not finite.
        max_expected: max |expected|.
        not_finite: Elements that are NaN or infinite on either side.
    """

    name: str
    relative_linf: float
    max_expected: float
    not_finite: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One comparison of outputs with what was expected.

    Attributes:
        when: ``before`` or ``after`` the timed part.
        samples: How many inputs were run.
        limit: The relative L-infinity distance that was allowed.
        passed: Whether every output is within it.
        outputs: Each output's distance.
    """

    when: str
    samples: int
    limit: float
    passed: bool
    outputs: tuple[OutputDistance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thread of the engine's process: its name and the CPUs it may run on, bit i for CPU i."""

    name: str
    cpus_allowed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HarnessResult:
    """One run, as far as it came. What was not reached is None or empty.

    Attributes:
        status: How it ended.
        stage: Where it was then: start, open, load, first, verify, warmup, time, profile, end.
        message: Why, a line; empty when all went well.
        signal: The signal that ended the engine, 0 when none did.
        harness_version: What the harness says it is.
        engine: The engine's name.
        engine_version: Of its runtime.
        inputs: Of the file; layouts are not known to the harness.
        outputs: Of the file.
        open_ns: Loading the engine's own libraries.
        load_ns: Cold load of the file in a fresh process, checking it included.
        first_inference_ns: The first inference.
        warmup_inferences: Inferences between the first and the timed ones.
        samples_ns: (n,) int64, duration of every timed inference, in order.
        cpus: (n,) int16, the CPU each sample ended on.
        before: Reading before the timed part.
        after: Reading after it.
        began_ns: CLOCK_MONOTONIC of the device when the run began.
        ended_ns: When it ended, as far as known.
        clock_jumped: Whether the device slept between the readings.
        tasks: The threads, as verified after the warm-up.
        verifications: In order.
        vm_rss_kib: Stage to resident memory.
        vm_hwm_kib: Stage to peak resident memory.
        operators: Of the profiling pass, in the order they ran; durations are per inference.
        handicap_ppm: What the harness was asked to add to each inference.
        stderr: The end of what the engine wrote there.
    """

    status: Status
    stage: str
    message: str
    signal: int = 0
    harness_version: str = ""
    engine: str = ""
    engine_version: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    open_ns: int | None = None
    load_ns: int | None = None
    first_inference_ns: int | None = None
    warmup_inferences: int = 0
    samples_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    cpus: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    before: Reading | None = None
    after: Reading | None = None
    began_ns: int = 0
    ended_ns: int = 0
    clock_jumped: bool = False
    tasks: tuple[Task, ...] = ()
    verifications: tuple[Verification, ...] = ()
    vm_rss_kib: Mapping[str, int | None] = field(default_factory=dict)
    vm_hwm_kib: Mapping[str, int | None] = field(default_factory=dict)
    operators: tuple[OperatorTime, ...] = ()
    handicap_ppm: int = 0
    stderr: str = ""

    @property
    def peak_kib(self) -> int | None:
        """Return the peak resident memory over all stages."""
        return max((kib for kib in self.vm_hwm_kib.values() if kib is not None), default=None)

    def flags(self, cpu_mask: int = 0) -> frozenset[Flag]:
        """Return what this run itself tells about its block; readings are judged elsewhere.

        Args:
            cpu_mask: Bit i set: CPU i was allowed; 0 when not pinned.
        """
        flags = set()
        if self.status is not Status.DONE:
            flags.add(Flag.PARTIAL)
        if self.status is Status.CRASHED:
            flags.add(Flag.ENGINE_CRASHED)
        if self.status in (Status.KILLED, Status.TIMEOUT, Status.LOST):
            flags.add(Flag.HARNESS_KILLED)
        if self.clock_jumped:
            flags.add(Flag.CLOCK_JUMP)
        if cpu_mask and any(cpu >= 0 and not cpu_mask >> int(cpu) & 1 for cpu in self.cpus):
            flags.add(Flag.WRONG_CORE)
        return frozenset(flags)
