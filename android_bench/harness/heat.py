"""A heat: variants that are alive at once on the same CPUs and take turns, some inferences each.

Whatever slows the device then slows all of them alike. Each variant is a fresh process; one may
take part twice. The turns are handed over on the device, so no process of the host's, no output
and no cable has a part in them.

Example::

    schedule = HeatSchedule(burst=12, seconds=2.0)
    jobs = {"orig": orig, "ours": ours}
    heat = run_heat(harness, list(jobs.values()), schedule, labels=list(jobs), order=(0, 1, 1, 0))
    heat.turns.samples_ns
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from android_bench.harness.description import PATIENCE_S, Harness
from android_bench.harness.heat_lines import HeatReader, HeatResult
from android_bench.harness.job import Job
from android_bench.harness.wire import Status
from pfd_models.errors import DeviceError, InputError, ParityError

__all__ = ["HeatResult", "HeatSchedule", "run_heat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatSchedule:
    """How a heat is run.

    Attributes:
        burst: Inferences in a turn: one number for all children, or one for each.
        seconds: It ends with the cycle of the order that completes past this time.
        warmup_iterations: Least number of untimed inferences of each child.
        warmup_seconds: Least time of them. Shorter than a block's: the first turns of a heat can
            be left out afterwards.
        turn_timeout_seconds: A turn that takes longer hangs; then the harness ends the heat.
        timeout_seconds: For the whole of it, loading and warm-up included.
    """

    burst: int | tuple[int, ...]
    seconds: float = 2.0
    warmup_iterations: int = 10
    warmup_seconds: float = 0.1
    turn_timeout_seconds: float = 60.0
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what would never begin or never end."""
        for burst in self.bursts_of(1):
            _require("burst", burst, 1 <= burst <= 10**9, "1 to 1e9")
        for name in ("seconds", "warmup_seconds"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) <= 1e6, "0 to 1e6 s")
        count = self.warmup_iterations
        _require("warmup_iterations", count, 0 <= count <= 10**9, "0 to 1e9")
        for name in ("turn_timeout_seconds", "timeout_seconds"):
            _require(name, getattr(self, name), 0 < getattr(self, name) <= 1e6, "> 0 s")

    def bursts_of(self, children: int) -> tuple[int, ...]:
        """Return the inferences in a turn of each child."""
        return self.burst if isinstance(self.burst, tuple) else (self.burst,) * children


def _require(field: str, value: float, right: bool, allowed: str) -> None:
    if not right:
        raise InputError(f"{field} of a heat is {value}: it must be {allowed}")


def run_heat(
    harness: Harness,
    jobs: Sequence[Job],
    schedule: HeatSchedule,
    *,
    labels: Sequence[str],
    order: Sequence[int],
    handicaps_ppm: Sequence[int] = (),
    verify_samples: int = 1,
    quiet_s: float = 0.0,
    on_line: Callable[[Mapping[str, Any]], None] | None = None,
) -> HeatResult:
    """Run one heat.

    Args:
        harness: From `describe`.
        jobs: What each child runs, all on the same CPUs; one may be there twice.
        schedule: How.
        labels: What each child is called.
        order: Numbers of the children in the order of their turns; repeated, and always to its
            end.
        handicaps_ppm: Share of its own duration to add to every inference of each child, in
            millionths; nothing when empty.
        verify_samples: How many expected samples each child checks before; 0 for all. One is
            checked again afterwards.
        quiet_s: For how long a phone is not asked how the heat stands: what it takes at least.
        on_line: Hears every line of the protocol, all of them when the heat is over.

    Returns:
        The heat as far as it came; also when a child crashed or hung, or it was killed.

    Raises:
        InputError: A file or an option was refused, or the children do not fit together.
        ParityError: The outputs of a child are not what was expected.
        DeviceError: A library, a CPU or memory is missing, or the lines make no sense.
    """
    handicaps_ppm = tuple(handicaps_ppm) or (0,) * len(jobs)
    _check(jobs, labels, order, handicaps_ppm, schedule.bursts_of(len(jobs)))
    for job in jobs:
        harness.engine(job.engine)
    command = [*harness.command, "--heat", *_options(harness, schedule, jobs[0].cpu_mask, order)]
    # All spin as long as the slowest does, timed or not: caches cool meanwhile, for all alike.
    pause_ppm = max(handicaps_ppm)
    for job, ppm in zip(jobs, handicaps_ppm, strict=True):
        command += [*_child_options(job), "--handicap-ppm", str(ppm), "--pause-ppm", str(pause_ppm)]
        command += ["--verify-samples", str(verify_samples)]
    reader = HeatReader(
        harness.version,
        labels,
        bursts=schedule.bursts_of(len(jobs)),
        order=order,
        on_line=on_line,
    )
    timeout_s = schedule.timeout_seconds + PATIENCE_S
    ended = harness.launch(command, timeout_s=timeout_s, on_line=reader.feed, quiet_s=quiet_s)
    result = reader.result(ended)
    _raise_for(result, jobs)
    return result


def _check(
    jobs: Sequence[Job],
    labels: Sequence[str],
    order: Sequence[int],
    handicaps_ppm: Sequence[int],
    bursts: Sequence[int],
) -> None:
    if not jobs:
        raise InputError("a heat has no children: give at least one job")
    if len(labels) != len(jobs) or len(handicaps_ppm) != len(jobs):
        raise InputError(
            f"a heat of {len(jobs)} children has {len(labels)} labels and {len(handicaps_ppm)} "
            "handicaps: give one for each"
        )
    if set(order) != set(range(len(jobs))):
        raise InputError(
            f"the order {tuple(order)} of a heat of {len(jobs)} children is wrong: give the "
            f"numbers 0 to {len(jobs) - 1}, each at least once"
        )
    if len(bursts) != len(jobs):
        raise InputError(
            f"a heat of {len(jobs)} children has {len(bursts)} bursts: give one for all, or one "
            "for each"
        )
    masks = {job.cpu_mask for job in jobs}
    if len(masks) > 1:
        raise InputError(
            f"the children of a heat have the CPU masks {sorted(map(hex, masks))}: give all the "
            "same, as they are compared on the same cores"
        )


def _options(
    harness: Harness, schedule: HeatSchedule, cpu_mask: int, order: Sequence[int]
) -> list[str]:
    options = ["--host-version", harness.version]
    options += ["--cpu-mask", f"{cpu_mask:x}"] if cpu_mask else []
    options += [
        "--burst",
        ",".join(map(str, schedule.bursts_of(1))),
        "--heat-seconds",
        repr(schedule.seconds),
    ]
    options += ["--order", ",".join(map(str, order))]
    options += ["--warmup-iterations", str(schedule.warmup_iterations)]
    options += ["--warmup-seconds", repr(schedule.warmup_seconds)]
    options += ["--turn-timeout-seconds", repr(schedule.turn_timeout_seconds)]
    return [*options, "--timeout-seconds", repr(schedule.timeout_seconds)]


def _child_options(job: Job) -> list[str]:
    options = ["--child", "--engine", job.engine, "--model", job.model]
    options += ["--threads", str(job.threads), "--limit", repr(job.limit)]
    options += ["--batch", str(job.batch)] if job.batch else []
    for name, paths in (("--input", job.inputs), ("--expected", job.expected)):
        for path in paths:
            options += [name, path]
    return options


def _raise_for(result: HeatResult, jobs: Sequence[Job]) -> None:
    """Raise what the caller must mend; crashes and kills are results."""
    line = f"the heat of {', '.join(result.turns.children)}: {result.message}"
    if result.child is not None:
        job, label = jobs[result.child], result.turns.children[result.child]
        line = f"{label}, {job.engine} on {job.model}: {result.message}"
    if result.status is Status.MISMATCH:
        raise ParityError(f"{line}; nothing was recorded")
    if result.status is Status.REFUSED:
        raise InputError(line)
    if result.status is Status.ENVIRONMENT:
        raise DeviceError(line)
