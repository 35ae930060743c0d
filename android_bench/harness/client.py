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
from typing import Any

from android_bench.harness.description import PATIENCE_S, EngineInfo, Harness, describe
from android_bench.harness.job import Job, Schedule
from android_bench.harness.lines import LineReader
from android_bench.harness.result import HarnessResult, Verification
from android_bench.harness.wire import Status
from pfd_models.errors import DeviceError, InputError, ParityError

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

Line = Mapping[str, Any]


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
