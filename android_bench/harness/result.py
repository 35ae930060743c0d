"""What one run of the harness told, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from android_bench.harness.wire import Status
from android_bench.records import Flag, OperatorTime, TimedRun
from export.sets.manifest import TensorSpec

__all__ = ["HarnessResult", "LoadedFile", "OutputDistance", "Status", "Task", "Verification"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFile:
    """Where a program or library lies in the counted process; the program's name is empty.

    Attributes:
        name: Without its folder.
        base: Where its first byte lies.
        end: Of the highest byte.
    """

    name: str
    base: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HarnessResult:
    """One run, as far as it came. What was not reached is None or empty.

    Attributes:
        status: How it ended.
        stage: Where it was then: start, open, load, first, verify, warmup, time, profile,
            count, end.
        message: Why, a line; empty when all went well.
        signal: The signal that ended the engine, 0 when none did.
        run: What was measured; its readings tell nothing but the time where it broke off earlier.
        engine: The engine's name.
        engine_version: Of its runtime.
        inputs: Of the file; layouts are not known to the harness.
        outputs: Of the file.
        open_ns: Loading the engine's own libraries.
        tasks: The threads, as verified after the warm-up.
        verifications: In order.
        vm_rss_kib: Stage to resident memory.
        operators: Of the profiling pass, in the order they ran; durations are per inference.
        files: What was loaded when the counted inferences began.
        stderr: The end of what the engine wrote there.
    """

    status: Status
    stage: str
    message: str
    signal: int = 0
    run: TimedRun
    engine: str = ""
    engine_version: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    open_ns: int | None = None
    tasks: tuple[Task, ...] = ()
    verifications: tuple[Verification, ...] = ()
    vm_rss_kib: Mapping[str, int | None] = field(default_factory=dict)
    operators: tuple[OperatorTime, ...] = ()
    files: tuple[LoadedFile, ...] = ()
    stderr: str = ""

    def flags(self) -> frozenset[Flag]:
        """Return what the end of this run tells about its block; readings are judged elsewhere."""
        if self.status is Status.DONE:
            return frozenset()
        flags = {Flag.PARTIAL}
        if self.status is Status.CRASHED:
            flags.add(Flag.ENGINE_CRASHED)
        if self.status in (Status.KILLED, Status.TIMEOUT, Status.LOST):
            flags.add(Flag.HARNESS_KILLED)
        return frozenset(flags)
