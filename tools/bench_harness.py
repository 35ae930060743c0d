"""How much does the harness itself add to what it measures?

    python tools/bench_harness.py
    python tools/bench_harness.py --model artifacts/x.tflite --rounds 40

The harness times every inference alone, writes the inputs before each and runs under a
supervisor. It is compared with a bare loop: the same engine and file, two clock readings around
four inferences, nothing else. Both run in fresh processes, in ABBA order; the harness's samples
are averaged in the same fours. On a computer that others use, --quantile 0.1 compares the
undisturbed groups instead of the median ones. Exit status 1 says that the whole interval lies
above what is allowed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from android_bench.harness.client import Harness, Job, Schedule, describe, run_block
from android_bench.harness.process import run_here
from android_bench.harness.result import Status
from android_bench.native_build.build import Built, build_harness
from android_bench.statistics.intervals import Floats, signed_rank
from pfd_models.errors import DeviceError, PfdError

ALLOWED = 0.005
TOGETHER = 4
WARMUP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """Harness over bare loop, from paired rounds.

    Attributes:
        ratio: Hodges-Lehmann estimate of the ratio of quantiles, medians by default.
        low: Lower end of its 95 % interval.
        high: Upper end.
        bare_ns: Median over rounds of the bare loop's quantile.
        harness_ns: The same of the harness.
        rounds: How many pairs.
    """

    ratio: float
    low: float
    high: float
    bare_ns: float
    harness_ns: float
    rounds: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: As typed; None takes those of the process.

    Returns:
        The exit status.
    """
    args = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = args.model or make_model(Path(folder))
            built = build_harness()
            harness = describe([str(built.program)])
            job = Job(
                model=str(model),
                engine=harness.engine_for(model.name).name,
                threads=args.threads,
                cpu_mask=args.cpu_mask,
            )
            found = measure(
                built,
                harness,
                job,
                rounds=args.rounds,
                inferences=args.inferences,
                quantile=args.quantile,
            )
    except PfdError as error:
        print(f"bench_harness: {error}", file=sys.stderr)
        return error.exit_status
    print(f"{job.engine}, {job.threads} thread(s), {model.name}, {found.rounds} pairs of processes")
    print(f"bare loop {found.bare_ns / 1e6:.4f} ms   harness {found.harness_ns / 1e6:.4f} ms")
    print(
        f"overhead {found.ratio - 1:+.3%}, 95 % interval {found.low - 1:+.3%} to "
        f"{found.high - 1:+.3%} (allowed: {ALLOWED:.1%})"
    )
    return 1 if found.low - 1 > ALLOWED else 0


def measure(
    built: Built,
    harness: Harness,
    job: Job,
    *,
    rounds: int,
    inferences: int,
    quantile: float = 0.5,
) -> Overhead:
    """Run pairs of processes in ABBA order and compare a quantile of their groups."""
    runs: tuple[Callable[[], Floats], ...] = (
        lambda: bare_groups(built, job, inferences),
        lambda: harness_groups(harness, job, inferences),
    )
    found = np.empty((rounds, 2))
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            found[number, which] = np.quantile(runs[which](), quantile)
    log_ratios = np.log(found[:, 1] / found[:, 0])
    centre, half_width = signed_rank(log_ratios[np.newaxis], 0.95)
    return Overhead(
        ratio=float(np.exp(centre[0])),
        low=float(np.exp(centre[0] - half_width[0])),
        high=float(np.exp(centre[0] + half_width[0])),
        bare_ns=float(np.median(found[:, 0])),
        harness_ns=float(np.median(found[:, 1])),
        rounds=rounds,
    )


def bare_groups(built: Built, job: Job, inferences: int) -> Floats:
    """Return (groups,) ns per inference of the bare loop.

    Raises:
        DeviceError: It failed.
    """
    mask = f"{job.cpu_mask:x}" if job.cpu_mask else ""
    counts = (WARMUP, TOGETHER, inferences // TOGETHER)
    command = [str(built.bare_loop), job.engine, job.model, str(job.threads), mask]
    lines: list[str] = []
    ended = run_here([*command, *map(str, counts)], timeout_s=300.0, on_line=lines.append)
    if ended.status != 0:
        raise DeviceError(f"the bare loop ended with {ended.status}: {ended.stderr[-200:].strip()}")
    return np.array([float(line) for line in lines])


def harness_groups(harness: Harness, job: Job, inferences: int) -> Floats:
    """Return (groups,) ns per inference of the harness: its samples averaged.

    Raises:
        DeviceError: It failed.
    """
    schedule = Schedule(iterations=inferences, warmup_iterations=WARMUP, warmup_seconds=0.0)
    result = run_block(harness, job, schedule)
    if result.status is not Status.DONE:
        raise DeviceError(f"the harness {result.status.value}: {result.message}")
    groups = result.run.samples_ns[: inferences // TOGETHER * TOGETHER].reshape(-1, TOGETHER)
    return np.asarray(groups.mean(axis=1))


def make_model(folder: Path) -> Path:
    """Write a .pte of five convolutions that takes about a millisecond on one thread."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    torch.manual_seed(0)
    layers = [
        part for _ in range(5) for part in (torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.ReLU())
    ]
    module = torch.nn.Sequential(*layers).eval()
    captured = torch.export.export(module, (torch.randn(1, 32, 56, 56),))
    lowered = to_edge_transform_and_lower(captured, partitioner=[XnnpackPartitioner()])
    path = folder / "five_convolutions.pte"
    path.write_bytes(lowered.to_executorch().buffer)
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python tools/bench_harness.py",
        description="Measure the overhead of the benchmark harness against a bare loop.",
    )
    parser.add_argument("--model", type=Path, help="a .pte or .tflite (default: makes one)")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument(
        "--cpu-mask", type=lambda text: int(text, 16), default=0, help="hexadecimal (default: any)"
    )
    parser.add_argument("--rounds", type=int, default=30, help="pairs of processes (default: 30)")
    parser.add_argument(
        "--inferences", type=int, default=500, help="in each process (default: 500)"
    )
    parser.add_argument(
        "--quantile", type=float, default=0.5, help="of the groups in a process (default: 0.5)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
