"""The host half of the native harness: ask it, check it, run it, and hear one result.

Every run is a fresh process with one model. A crash, a hang or a kill is a result, not an
exception: it is one block of a campaign with a flag. What the caller must mend is raised.

Example::

    harness = describe([str(build_harness().program)])
    job = Job(model=path, engine="executorch", threads=1, inputs=..., expected=...)
    verify(harness, job)
    result = run_block(harness, job, Schedule(iterations=90))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from android_bench.harness import wire
from android_bench.harness.job import Job, Schedule
from android_bench.harness.lines import LineReader
from android_bench.harness.process import Launcher, run_here
from android_bench.harness.result import HarnessResult, Verification
from android_bench.harness.wire import Status
from android_bench.native_build.build import PROTOCOL, source_version
from pfd_models.errors import DeviceError, InputError, ParityError, unknown
from pfd_models.plain_data import decode_json

__all__ = [
    "EngineInfo",
    "Harness",
    "Job",
    "Schedule",
    "count_inferences",
    "describe",
    "measure_memory",
    "profile_operators",
    "run_block",
    "verify",
]

PATIENCE_S = 30.0
"""How much longer the host waits than the harness, which stops itself."""

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """One engine as the harness describes it.

    Attributes:
        name: What a `Job` calls it.
        version: Of its runtime.
        suffixes: Of the files it runs, as ``.pte``.
        libraries: Files that must lie beside the harness.
        unavailable: Why it cannot run there; empty when it can.
    """

    name: str
    version: str
    suffixes: tuple[str, ...]
    libraries: tuple[str, ...]
    unavailable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """A harness that answered and is of this host's version.

    Attributes:
        command: What starts it.
        launch: What runs a command there.
        version: Of its sources.
        target: What it was built for.
        machine: The machine's name, as ``aarch64``.
        engines: What it can run.
    """

    command: tuple[str, ...]
    launch: Launcher
    version: str
    target: str
    machine: str
    engines: tuple[EngineInfo, ...]

    def engine(self, name: str) -> EngineInfo:
        """Return an engine that can run.

        Raises:
            InputError: There is none of that name.
            DeviceError: It cannot run there.
        """
        for engine in self.engines:
            if engine.name == name:
                if engine.unavailable:
                    raise DeviceError(f"engine {name} cannot run: {engine.unavailable}")
                return engine
        raise InputError(unknown("engine", name, [e.name for e in self.engines]))

    def engine_for(self, file: str) -> EngineInfo:
        """Return the engine that runs files of this suffix.

        Raises:
            InputError: There is none.
            DeviceError: It cannot run there.
        """
        suffix = PurePath(file).suffix
        for engine in self.engines:
            if suffix in engine.suffixes:
                return self.engine(engine.name)
        known = sorted({s for e in self.engines for s in e.suffixes})
        raise InputError(unknown("suffix", suffix, known, owner=file))


def describe(command: Sequence[str], *, launch: Launcher = run_here) -> Harness:
    """Ask a harness what it is, and refuse one of other sources than this host's.

    Args:
        command: What starts it, as ``["/path/pfd_bench"]``, or a loader before it.
        launch: What runs a command where it lies.

    Raises:
        DeviceError: It does not run, does not answer, or is of another version.
    """
    lines: list[str] = []
    ended = launch([*command, "--describe"], timeout_s=PATIENCE_S, on_line=lines.append)
    try:
        said = decode_json(wire.Describe, lines[0] if lines else "", what="it", strict=False)
    except InputError as error:
        last = (ended.stderr.strip().splitlines() or lines or ["nothing"])[-1]
        raise DeviceError(
            f"{command[-1]} does not answer --describe (status {ended.status}): {last[:200]!r}; "
            "build it again with python -m android_bench.native_build"
        ) from error
    if said.version != source_version() or said.protocol != PROTOCOL:
        raise DeviceError(
            f"{command[-1]} is version {said.version[:40]!r} and this host is {source_version()}: "
            "build it again with python -m android_bench.native_build"
        )
    return Harness(
        command=tuple(command),
        launch=launch,
        version=said.version,
        target=said.target,
        machine=said.machine,
        engines=tuple(
            EngineInfo(
                name=engine.name,
                version=engine.version,
                suffixes=engine.suffixes,
                libraries=engine.libraries,
                unavailable=engine.unavailable,
            )
            for engine in said.engines
        ),
    )


def run_block(
    harness: Harness,
    job: Job,
    schedule: Schedule | None = None,
    *,
    handicap_ppm: int = 0,
    pause_ppm: int = 0,
    verify_samples: int = 1,
    on_line: Callable[[Line], None] | None = None,
) -> HarnessResult:
    """Time one block in a fresh process.

    Args:
        harness: From `describe`.
        job: What to run.
        schedule: How to warm up and time.
        handicap_ppm: Share of its own duration to add to every inference, in millionths.
        pause_ppm: How long the next one waits, a share too; what exceeds the handicap is not
            timed.
        verify_samples: How many expected samples to check before; 0 for all. One is checked
            again afterwards.
        on_line: Hears every line of the protocol as it comes.

    Returns:
        The run as far as it came; also when the engine crashed or was killed.

    Raises:
        InputError: The file or an option was refused.
        ParityError: The outputs are not what was expected.
        DeviceError: A library, a CPU or memory is missing, or the lines make no sense.
    """
    schedule = schedule or Schedule()
    options = [
        *("--time", "--verify-samples", str(verify_samples)),
        *("--handicap-ppm", str(handicap_ppm), "--pause-ppm", str(pause_ppm)),
        *("--iterations", str(schedule.iterations), "--seconds", repr(schedule.seconds)),
        *("--stop", "either" if schedule.stop_at_either else "both"),
        *("--max-seconds", repr(schedule.max_seconds)),
        *("--gap-seconds", repr(schedule.gap_seconds)),
        *("--flush-seconds", repr(schedule.flush_seconds)),
    ]
    return _run(harness, job, schedule, options, on_line)


def verify(harness: Harness, job: Job, *, timeout_s: float = 600.0) -> Verification:
    """Compare all expected samples with what the file computes there.

    Raises:
        InputError: The job has nothing expected, or the file was refused.
        ParityError: The outputs are not what was expected.
        DeviceError: The engine crashed, hung, or cannot run there.
    """
    if not job.expected:
        raise InputError(f"there is nothing to compare {job.model} with: give expected outputs")
    schedule = Schedule(timeout_seconds=timeout_s)
    result = _run(harness, job, schedule, ["--verify", "--verify-samples", "0"], None)
    _require_done(result, job)
    return result.verifications[0]


def measure_memory(harness: Harness, job: Job, schedule: Schedule | None = None) -> HarnessResult:
    """Run the memory pass: resident memory at each stage, nothing timed.

    The job's tensor files are left out, as they would count as the network's memory.

    Raises:
        InputError, ParityError, DeviceError: As `verify`.
    """
    bare = dataclasses.replace(job, inputs=(), expected=())
    result = _run(harness, bare, schedule or Schedule(), ["--memory"], None)
    _require_done(result, job)
    return result


def profile_operators(
    harness: Harness,
    job: Job,
    schedule: Schedule | None = None,
    *,
    iterations: int = 10,
    etdump: str = "",
) -> HarnessResult:
    """Run the per-operator pass; its inferences are slower than timed ones.

    Args:
        harness: From `describe`.
        job: What to run.
        schedule: How to warm up.
        iterations: Inferences to profile.
        etdump: Where to write ExecuTorch's own profile, on the machine it runs on; empty for
            none. `executorch.devtools.Inspector` reads it.

    Raises:
        InputError, ParityError, DeviceError: As `verify`.
    """
    options = ["--profile", "--iterations", str(iterations)]
    options += ["--etdump", etdump] if etdump else []
    result = _run(harness, job, schedule or Schedule(), options, None)
    _require_done(result, job)
    return result


def count_inferences(
    harness: Harness,
    job: Job,
    *,
    iterations: int,
    with_operators: bool,
    timeout_s: float,
) -> HarnessResult:
    """Run inferences between marks for an emulator that counts; nothing is timed.

    Args:
        harness: From `describe`, started by the emulator.
        job: What to run.
        iterations: Inferences between marks, after the first one, which is not counted.
        with_operators: Have the engine tell its operators, which costs instructions of its own.
        timeout_s: Patience for the whole run.

    Returns:
        How it went, its operators and where its files lie; the counts are the emulator's.

    Raises:
        InputError, ParityError, DeviceError: As `run_block`.
    """
    schedule = Schedule(warmup_iterations=0, warmup_seconds=0.0, timeout_seconds=timeout_s)
    options = ["--count", "--iterations", str(iterations)]
    options += ["--operators", "1" if with_operators else "0"]
    return _run(harness, job, schedule, options, None)


def _run(
    harness: Harness,
    job: Job,
    schedule: Schedule,
    options: Sequence[str],
    on_line: Callable[[Line], None] | None,
) -> HarnessResult:
    harness.engine(job.engine)
    command = [*harness.command, *options, *_common(harness, job, schedule)]
    reader = LineReader(harness.version, on_line)
    timeout_s = schedule.timeout_seconds + PATIENCE_S
    ended = harness.launch(command, timeout_s=timeout_s, on_line=reader.feed)
    result = reader.result(ended)
    _raise_for(result, job)
    return result


def _common(harness: Harness, job: Job, schedule: Schedule) -> list[str]:
    options = ["--host-version", harness.version, "--engine", job.engine, "--model", job.model]
    options += ["--threads", str(job.threads), "--limit", repr(job.limit)]
    options += ["--batch", str(job.batch)] if job.batch else []
    options += ["--cpu-mask", f"{job.cpu_mask:x}"] if job.cpu_mask else []
    for name, paths in (("--input", job.inputs), ("--expected", job.expected)):
        for path in paths:
            options += [name, path]
    options += ["--warmup-iterations", str(schedule.warmup_iterations)]
    options += ["--warmup-seconds", repr(schedule.warmup_seconds)]
    return [*options, "--timeout-seconds", repr(schedule.timeout_seconds)]


def _raise_for(result: HarnessResult, job: Job) -> None:
    """Raise what the caller must mend; crashes and kills are results."""
    line = f"{job.engine} on {job.model}: {result.message}"
    if result.status is Status.MISMATCH:
        raise ParityError(f"{line}; nothing was recorded")
    if result.status is Status.REFUSED:
        raise InputError(line)
    if result.status is Status.ENVIRONMENT:
        raise DeviceError(line)


def _require_done(result: HarnessResult, job: Job) -> None:
    if result.status is not Status.DONE:
        raise DeviceError(
            f"{job.engine} on {job.model} {result.status.value} at stage {result.stage}: "
            f"{result.message}"
        )
