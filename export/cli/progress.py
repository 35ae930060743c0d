"""What the builder shows: live progress on a terminal, one line a step elsewhere, one table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from export.cli.workers import Outcome
    from export.sets.manifest import Artifact, Manifest, Quantization

__all__ = ["Display", "make_console", "print_results"]

STEPS = {
    "model": "making the model",
    "reference": "running it in float64",
    "capture": "capturing the graph",
    "rewrite": "rewriting the graph",
    "quantize": "calibrating and quantising",
    "alone": "quantising each layer alone",
    "inside": "comparing the layers of each file",
    "onnx": "writing and checking .onnx",
    "tflite": "writing and checking .tflite",
    "pte": "lowering and checking .pte",
    "publish": "publishing",
}


class Display:
    """Progress on standard error; a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None)
        self._live = self._console.is_terminal

    def __enter__(self) -> Display:
        if self._live:
            self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._progress.stop()

    def begin(self, sets: int) -> None:
        """Say how many sets there are to build."""
        self._progress.update(self._task, total=sets)

    def step(self, label: str, step: str) -> None:
        """Say that a step of a set begins."""
        text = " ".join(filter(None, (label, STEPS.get(step, step))))
        if self._live:
            self._progress.update(self._task, description=text)
        else:
            sys.stderr.write(f"{text}\n")

    def end(self, outcome: Outcome) -> None:
        """Say that a set is finished or failed."""
        self._progress.advance(self._task)
        if outcome.error is not None:
            self._console.print(
                f"error: {outcome.request.source.label}: {outcome.error}",
                markup=False, emoji=False, highlight=False, soft_wrap=True,
            )  # fmt: skip


def make_console() -> Console:
    """Return a console for results: as wide as the terminal, or wide enough for a table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def print_results(outcomes: Sequence[Outcome], undefined: Sequence[str], seconds: float) -> None:
    """Print one row a file, what stayed outside a delegate, and how it all ended."""
    console = make_console()
    table = Table("file", "size", "delegates", "left out", "worst error", "seconds")
    for column in table.columns[1:]:
        column.justify = "right"
    done = [o for o in outcomes if o.result is not None]
    for outcome in done:
        assert outcome.result is not None
        manifest, made = outcome.result.manifest, outcome.result.made
        for artifact in manifest.artifacts:
            table.add_row(*_row(artifact, fresh=artifact.format in made))
        for missing in outcome.lacking:
            table.add_row(f"{manifest.stem}.{missing.format}", "-", "-", "-", "-", "missing")
    if done:
        console.print(table)
        console.print(
            "worst error: max |file - float64 run| / max |float64 run| over the parity inputs"
        )
        if any(o.result is not None and o.result.manifest.quantization for o in done):
            console.print(
                "worst error of int8: from the integer reference; what it costs stands below"
            )
    for outcome in done:
        assert outcome.result is not None
        if outcome.result.made:
            _print_origin(console, outcome.result.manifest)
        _print_leftovers(console, outcome.result.manifest)
        _print_cost(console, outcome.result.manifest)
        for missing in outcome.lacking:
            console.print(
                f"{outcome.result.manifest.stem} has no .{missing.format}: {missing.reason}",
                markup=False, emoji=False, soft_wrap=True,
            )  # fmt: skip
    for reason in undefined:
        console.print(f"not defined: {reason}", markup=False, emoji=False, soft_wrap=True)
    console.print(_closing(outcomes, seconds), markup=False, emoji=False, soft_wrap=True)


def _row(artifact: Artifact, *, fresh: bool) -> tuple[str, ...]:
    delegates = "-" if artifact.delegates is None else str(artifact.delegates)
    left = "-" if artifact.delegates is None else str(sum(x.count for x in artifact.leftovers))
    seconds = f"{sum(artifact.build_seconds.values()):.1f}" if fresh else "unchanged"
    size = f"{artifact.size_bytes / 1e6:.2f} MB"
    error = f"{artifact.parity.relative_linf:.1e}"
    return artifact.file, size, delegates, left, error, seconds


def _print_cost(console: Console, manifest: Manifest) -> None:
    """Say what a lower precision cost, and on what it was calibrated."""
    record = manifest.quantization
    for artifact in manifest.artifacts:
        cost = artifact.cost
        if cost is None:
            continue
        parts = [f"{cost.sqnr_db:.1f} dB SQNR"]
        if cost.arm_sqnr_db is not None:
            parts.append(f"{cost.arm_sqnr_db:.1f} dB where sums are half, as on ARM")
        if cost.agreement is not None:
            parts.append(f"top-1 agreement {cost.agreement:.1%}")
        if cost.top1 is not None and cost.float_top1 is not None:
            parts.append(f"top-1 {cost.top1:.1%} (float32 {cost.float_top1:.1%})")
        console.print(
            f"{artifact.file}: against float32 on {cost.samples} {cost.data or 'held samples'}: "
            + ", ".join(parts),
            markup=False, emoji=False, soft_wrap=True,
        )  # fmt: skip
    if record is None:
        return
    for line in _say_prices(manifest, record):
        console.print(line, markup=False, emoji=False, soft_wrap=True)
    console.print(
        f"{manifest.stem}: calibrated on {record.samples} samples: {record.calibration}; "
        f"{record.recipe}" + "".join(f"; in float: {line}" for line in record.kept_float),
        markup=False, emoji=False, soft_wrap=True,
    )  # fmt: skip


def _say_prices(manifest: Manifest, record: Quantization) -> Iterator[str]:
    """Say why layers are in float and what that costs."""
    limit = record.loss_limit
    if limit is not None:
        kept = ", ".join(limit.layers) or "nothing"
        yield (
            f"{manifest.stem}: to lose at most {limit.max_loss:g} points of {limit.counts}, "
            f"{kept} stays in float: {limit.loss:.2f} points instead of {limit.loss_without:.2f} "
            f"on {limit.samples} samples to choose on"
        )
    for price in record.float_prices:
        artifact = manifest.artifact(price.format)
        calls = ""
        if price.delegates is not None:
            calls = f", {artifact.delegates} delegates instead of {price.delegates}"
        yield (
            f"{artifact.file}: what was kept in float costs {price.time_ratio:.2f}x the time on "
            f"this {price.machine}{calls}, {artifact.size_bytes / 1e6:.2f} MB instead of "
            f"{price.size_bytes / 1e6:.2f}"
        )


def _print_origin(console: Console, manifest: Manifest) -> None:
    """Print what was changed in a user's module and what was taken of a checkpoint."""
    lines = list(manifest.conversions)
    digest, _, taken = manifest.weights.partition(", ")
    if digest.startswith("sha256:") and taken:
        lines.append(f"checkpoint: {taken}")
    for line in lines:
        console.print(f"{manifest.stem}: {line}", markup=False, emoji=False, soft_wrap=True)


def _print_leftovers(console: Console, manifest: Manifest) -> None:
    for artifact in manifest.artifacts:
        for left in artifact.leftovers:
            console.print(
                f"{artifact.file}: {left.count} x {left.op} outside the delegate "
                f"({left.mac_share:.1%} of the multiply-accumulates): {left.cause}. "
                f"Fix: {left.fix}",
                markup=False, emoji=False, soft_wrap=True,
            )  # fmt: skip


def _closing(outcomes: Sequence[Outcome], seconds: float) -> str:
    done = [o.result for o in outcomes if o.result is not None]
    failed = len(outcomes) - len(done)
    made = sum(bool(r.made) for r in done)
    parts = []
    if made:
        parts.append(f"built {made} set{'s' * (made > 1)}")
    if len(done) > made:
        parts.append(f"{len(done) - made} unchanged")
    if failed:
        parts.append(f"{failed} failed")
    where = f" in {done[0].manifest.folder or Path()}" if done else ""
    return f"{', '.join(parts)}{where}, {seconds:.1f} s"
