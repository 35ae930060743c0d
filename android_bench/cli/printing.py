"""What the command writes at the end of its work: tables, lines, JSON, and what a gate says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from android_bench.campaign.result import CampaignResult
from android_bench.report.console import slower_lines, verdict_lines
from android_bench.report.escape import escape_controls
from android_bench.report.json_document import result_json
from android_bench.report.tables import summary_table, verdict_table
from pfd_models.errors import GateError
from pfd_models.files import atomic_write

__all__ = [
    "check_slower",
    "format_time",
    "print_error",
    "print_line",
    "print_results",
    "print_table",
    "write_json",
]

_WIDTH = 160  # where nobody says how wide the place is that the output goes to


def _make_console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def print_line(text: str) -> None:
    """Print a line of text from wherever it comes."""
    line = escape_controls(text, longest=2000)
    _make_console().print(line, markup=False, emoji=False, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table."""
    _make_console().print(table)


def print_error(text: str) -> None:
    """Print what went wrong, as one line on standard error."""
    sys.stderr.write(f"error: {escape_controls(text, longest=2000)}\n")


def print_results(results: Sequence[CampaignResult]) -> None:
    """Print what campaigns found: summaries, verdicts, and the verdicts as sentences."""
    for result in results:
        print_table(summary_table(result))
    if any(result.comparisons or result.control for result in results):
        print_table(verdict_table(results))
    for result in results:
        for line in verdict_lines(result):
            print_line(line)


def write_json(path: Path | None, results: Sequence[CampaignResult]) -> None:
    """Write docs/result-schema.md, where the user wants it.

    Raises:
        OutputError: The place cannot be written.
    """
    if path is not None:
        atomic_write(path, result_json(results))


def check_slower(results: Sequence[CampaignResult], limit: float | None) -> int:
    """Return 1, and say why, where an interval says that a variant is slower than is allowed."""
    if limit is None:
        return 0
    lines = slower_lines(results, limit)
    for line in lines:
        print_error(line)
    return GateError.exit_status if lines else 0


def format_time(seconds: float) -> str:
    """Return a duration for the reader."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
