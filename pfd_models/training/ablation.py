"""Rows of an ablation table: the same seeds for each variant, mean and interval, resumable."""

from __future__ import annotations

import math
import signal
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from pfd_models.errors import RunError, SpecError
from pfd_models.paper.published import load_published_rows
from pfd_models.training.config import RunConfig
from pfd_models.training.distributed import Processes
from pfd_models.training.folder import RunFolder
from pfd_models.training.progress import EpochRecord
from pfd_models.training.report import Report
from pfd_models.training.run import train

__all__ = [
    "Cell",
    "Interrupted",
    "Row",
    "check_seeds",
    "find_printed_accuracies",
    "rows_of",
    "run_cells",
]

CONFIDENCE = 0.95
"""Of the interval in which the mean over all possible seeds lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One trained network of the table.

    Attributes:
        variant: Its variant.
        seed: Of its run.
        best: Its epoch with the highest top-1, which is what the paper reports.
        last: Its last epoch.
    """

    variant: str
    seed: int
    best: EpochRecord
    last: EpochRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """A signal ended the table before its time.

    Attributes:
        signal: The one.
    """

    signal: signal.Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant over its seeds.

    Attributes:
        variant: Its name.
        top1: Of each seed's best epoch, in percent, in the seeds' order.
        last_top1: Of each seed's last epoch.
        printed: The paper's figures: its table's title to top-1 in percent.
    """

    variant: str
    top1: tuple[float, ...]
    last_top1: tuple[float, ...]
    printed: tuple[tuple[str, float], ...]

    @property
    def mean(self) -> float:
        """Return the mean over the seeds."""
        return statistics.fmean(self.top1)

    @property
    def half_width(self) -> float | None:
        """Return half the 95 % interval of the mean by Student's t; None for one seed.

        Raises:
            RunError: SciPy is not installed.
        """
        count = len(self.top1)
        if count < 2:
            return None
        try:
            from scipy import stats  # type: ignore[import-untyped]  # SciPy has no stubs
        except ImportError as error:
            raise RunError(
                "intervals need SciPy, which is not installed; pip install 'pfd-mobile[train]'"
            ) from error
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
        return quantile * statistics.stdev(self.top1) / math.sqrt(count)


def run_cells(
    configs: Sequence[RunConfig],
    *,
    device: torch.device,
    processes: Processes,
    report: Report | None,
) -> Iterator[Cell | Interrupted]:
    """Train what is not trained yet, in the given order; an unfinished run goes on.

    Args:
        configs: One a cell, each with a folder of its own.
        device: Where to train.
        processes: Who takes part.
        report: Who is told.

    Yields:
        Each cell as it is complete; `Interrupted`, at the end, where a signal came.

    Raises:
        PfdError: As `train`; a folder whose run is another names the field that differs.
    """
    for config in configs:
        folder = RunFolder(path=config.folder)
        decisive = config.decisive(processes.count)
        kept = processes.on_main(lambda f=folder, d=decisive: f.read_result(d))  # type: ignore[misc]  # bound now, not later
        if kept is None:
            begun = processes.on_main(folder.config.is_file)
            result = train(config, device=device, processes=processes, resume=begun, report=report)
            if result.interrupted is not None:
                yield Interrupted(signal=result.interrupted)
                return
            kept = result.best, result.history[-1]
        best, last = kept
        yield Cell(variant=config.spec.variant, seed=config.seed, best=best, last=last)


def rows_of(cells: Sequence[Cell], model: str, dataset: str) -> list[Row]:
    """Put cells together to rows, in the order in which variants first appear."""
    rows = []
    for variant in dict.fromkeys(cell.variant for cell in cells):
        own = sorted((c for c in cells if c.variant == variant), key=lambda c: c.seed)
        rows.append(
            Row(
                variant=variant,
                top1=tuple(c.best.top1 for c in own),
                last_top1=tuple(c.last.top1 for c in own),
                printed=find_printed_accuracies(model, variant, dataset),
            )
        )
    return rows


def find_printed_accuracies(
    model: str, variant: str, dataset: str
) -> tuple[tuple[str, float], ...]:
    """Return what the paper prints for a network, ablation tables first, doubles once."""
    found: dict[float, str] = {}
    rows = sorted(load_published_rows(), key=lambda row: not row.table.startswith("Ablation"))
    for row in rows:
        is_same = (row.model, row.variant, row.dataset) == (model, variant, dataset)
        if is_same and row.printed_accuracy is not None:
            found.setdefault(row.printed_accuracy, row.table)
    return tuple((table, accuracy) for accuracy, table in found.items())


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse a list of seeds that is empty or has one twice.

    Raises:
        SpecError: It is.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        given = ",".join(map(str, seeds))
        raise SpecError(f"seeds {given!r} must be different numbers; give for example 0,1,2")
