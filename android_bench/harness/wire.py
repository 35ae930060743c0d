"""The lines of the harness's protocol as types. docs/harness-protocol.md describes them.

The harness runs on a device that may say anything: every number has its range here, so that what
passes can be stored. Fields that a reader does not know are passed over, as the protocol allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

__all__ = ["KINDS", "MAX_LINE_BYTES", "MAX_SAMPLES", "Describe", "Status"]

MAX_LINE_BYTES = 4 << 20
"""Longer than any line of a real harness, whose shared memory holds 128 KiB of samples."""

MAX_SAMPLES = 20_000_000
"""Inferences of one run that are kept; a day of a very fast network."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Nanoseconds = Annotated[int, Meta(ge=0, le=2**62)]
Address = Annotated[int, Meta(ge=0, le=2**62)]
Cpu = Annotated[int, Meta(ge=-1, le=4095)]
Khz = Annotated[int, Meta(ge=0, le=10**9)]
Text = Annotated[str, Meta(max_length=10_000)]


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


class Hello(Struct):
    """The run begins."""

    version: Text
    at_ns: Nanoseconds
    handicap_ppm: Annotated[int, Meta(ge=0, le=10**9)] = 0


class Opened(Struct):
    """The engine's libraries are there."""

    engine: Text
    engine_version: Text
    open_ns: Nanoseconds


class Tensor(Struct):
    """One input or output of the file; layouts are not known to the harness."""

    name: Text
    dtype: Text
    shape: tuple[Count, ...]


class Loaded(Struct):
    """The file is loaded."""

    load_ns: Nanoseconds
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()


class First(Struct):
    """The first inference."""

    first_inference_ns: Nanoseconds


class Warmed(Struct):
    """The warm-up is over."""

    inferences: Count


class Samples(Struct):
    """Timed inferences, from number `first` on."""

    first: Count
    ns: tuple[Annotated[int, Meta(ge=1, le=2**62)], ...]
    cpu: tuple[Cpu, ...]


class ReadingLine(Struct):
    """The state of the device at one edge of the timed part."""

    edge: Literal["before", "after"]
    at_ns: Nanoseconds
    boottime_ns: Nanoseconds
    cpu: Cpu
    online_cpus: tuple[Annotated[int, Meta(ge=0, le=4095)], ...]
    freq_khz: tuple[tuple[Cpu, Khz | None], ...]
    freq_cap_khz: tuple[tuple[Cpu, Khz | None], ...]
    temp_mc: tuple[tuple[Text, Annotated[int, Meta(ge=-(2**53), le=2**53)] | None], ...]
    load_1min: Annotated[float, Meta(ge=0)] | None
    cpu_ticks: tuple[Count, ...]
    own_cpu_ns: Nanoseconds
    ticks_per_second: Annotated[int, Meta(ge=1, le=10**6)]


class OutputDistanceLine(Struct):
    """One output's distance; JSON has no infinity, so the harness writes null."""

    name: Text
    relative_linf: Annotated[float, Meta(ge=0)] | None
    max_expected: float | None
    not_finite: Count


class Verified(Struct):
    """One comparison of outputs."""

    when: Text
    samples: Count
    limit: float
    passed: bool
    outputs: tuple[OutputDistanceLine, ...]


class TaskLine(Struct):
    """One thread of the engine's process; the mask is hexadecimal."""

    name: Text
    cpus_allowed: Annotated[str, Meta(pattern=r"^(0x)?[0-9a-fA-F]{1,1024}$")]


class Threads(Struct):
    """The threads, as verified after the warm-up."""

    tasks: tuple[TaskLine, ...]


class Memory(Struct):
    """Resident memory at one stage."""

    stage: Text
    vm_rss_kib: Count | None
    vm_hwm_kib: Count | None


class OperatorLine(Struct):
    """One operator of one profiled inference."""

    name: Text
    kind: Text
    delegate: Text
    ns: Nanoseconds


class Operators(Struct):
    """The operators of one profiled inference, in the order they ran."""

    operators: tuple[OperatorLine, ...]


class LoadedFile(Struct):
    """Where a program or library lies in the process that is counted."""

    name: Text
    base: Address
    end: Address


class Files(Struct):
    """What is loaded when the counted inferences begin."""

    files: tuple[LoadedFile, ...]


class End(Struct):
    """The last line, the supervisor's."""

    status: Status
    stage: Text
    message: Text
    signal: Annotated[int, Meta(ge=0, le=1024)] = 0
    at_ns: Nanoseconds | None = None


class EngineLine(Struct):
    """One engine as the harness describes it."""

    name: Text
    version: Text
    suffixes: tuple[Text, ...]
    libraries: tuple[Text, ...]
    unavailable: Text


class Describe(Struct):
    """The only line of ``--describe``."""

    protocol: int
    version: Text
    target: Text
    machine: Text
    engines: tuple[EngineLine, ...]


KINDS: Mapping[str, type[Any]] = {
    "hello": Hello,
    "opened": Opened,
    "loaded": Loaded,
    "first": First,
    "warmed": Warmed,
    "samples": Samples,
    "reading": ReadingLine,
    "verified": Verified,
    "threads": Threads,
    "memory": Memory,
    "operators": Operators,
    "files": Files,
    "end": End,
}
