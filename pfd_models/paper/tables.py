"""Every table of the paper, measured beside printed.

Parameters and multiply-accumulates are counted here, now. Accuracies and latencies are the
paper's and are labelled so: nothing is trained and nothing is timed. Behind the paper's tables
stands one of the networks beside it whose families state counts.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

from pfd_models.errors import GateError
from pfd_models.paper.counting import Counts
from pfd_models.paper.measuring import measure
from pfd_models.paper.published import PublishedRow, load_published_rows
from pfd_models.paper.stated import StatedRow, measure_stated_rows

__all__ = ["MeasuredRow", "format_tables", "measure_rows", "plain_rows", "require_exact"]

_BESIDE = "Beside the paper: what families state"
_NOT_COUNTED = "the paper's counter misses {} parameters: position embeddings, attention biases"
_NOT_REBUILT = "the reference also registers {} parameters that it never calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRow:
    """A row of the paper and what this zoo's network has.

    Attributes:
        published: The row.
        params: True number of parameters.
        counted: What the table's own counter gives.
    """

    published: PublishedRow
    params: int
    counted: Counts

    @property
    def is_exact(self) -> bool:
        """Return whether every integer is the one that the reference's code gives."""
        row = self.published
        return (
            row.params == self.params + row.reference_only_params
            and row.params_counted == self.counted.params
            and row.macs == self.counted.macs
        )

    @property
    def differences(self) -> tuple[str, ...]:
        """Return why what is printed is not what is measured; empty where it is."""
        row = self.published
        found = (
            _difference("params", self.counted.params, row.printed_params),
            _difference("MACs", self.counted.macs, row.printed_macs),
        )
        inexact = () if self.is_exact else ("the network is not the reference's",)
        return (*inexact, *filter(None, found))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what else a reader of the row should know."""
        row, missed = self.published, self.params - self.counted.params
        spare = row.reference_only_params
        found = (
            _NOT_COUNTED.format(f"{missed:,}") if missed else "",
            _NOT_REBUILT.format(spare) if spare else "",
            "" if row.has_printed_counts else row.note,
        )
        return tuple(filter(None, found))

    @property
    def verdict(self) -> str:
        """Return ``yes``, ``last digit`` or ``no``, and ``-`` where the paper prints no count."""
        if not self.is_exact:
            return "no"
        if not self.published.has_printed_counts:
            return "-"
        return "last digit" if self.differences else "yes"


def _difference(what: str, measured: int, printed: str) -> str:
    """Say how a printed figure such as ``3.066M`` differs from a measured one, or nothing."""
    if not printed:
        return ""
    figure = Decimal(printed.removesuffix("M"))
    digit = Decimal(1).scaleb(int(figure.as_tuple().exponent))
    exact = Decimal(measured).scaleb(-6)
    rounded = exact.quantize(digit, ROUND_HALF_UP)
    if rounded == figure:
        return ""
    facts = f"{what} {measured:,} rounds to {rounded}M, printed {printed}"
    if exact.quantize(digit, ROUND_DOWN) == figure:
        return f"{facts} (truncated)"
    return f"{facts} ({(figure - rounded) / digit:+} in the last digit)"


def measure_rows() -> Iterator[MeasuredRow]:
    """Build and count the network of every row that has counts, in the tables' order."""
    for row in load_published_rows():
        if row.counter:
            params, counted = measure(row.model, row.variant, row.dataset, row.counter)
            yield MeasuredRow(published=row, params=params, counted=counted)


def _count_table(rows: Sequence[MeasuredRow]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return header, cells and footnotes."""
    header = [
        "network",
        "variant",
        "name here",
        "params",
        "as the paper counts",
        "printed",
        "MACs",
        "printed",
        "top-1 % (paper's)",
        "reproduced",
    ]
    notes: list[str] = []
    cells = []
    for row in rows:
        told = row.published
        texts = ["; ".join(t) for t in (row.differences, row.remarks) if t]
        for text in texts:
            if text not in notes:
                notes.append(text)
        marks = "".join(f" [{notes.index(text) + 1}]" for text in texts)
        accuracy = told.printed_accuracy
        cells.append(
            [
                told.label,
                told.variant,
                f"{told.model} {told.dataset}",
                f"{row.params:,}",
                f"{row.counted.params:,}",
                told.printed_params or "-",
                f"{row.counted.macs:,}",
                told.printed_macs or "-",
                "-" if accuracy is None else f"{accuracy:.2f}",
                row.verdict + marks,
            ]
        )
    return header, cells, notes


def _latency_table(rows: Sequence[PublishedRow]) -> tuple[list[str], list[list[str]], list[str]]:
    devices = list(rows[0].printed_latency)
    header = ["network", "variant", *(f"{device} (paper's)" for device in devices)]
    cells = [
        [row.label, row.variant, *(row.printed_latency[device] for device in devices)]
        for row in rows
    ]
    notes = ["the paper's figures, not measured here", *dict.fromkeys(row.note for row in rows)]
    return header, cells, notes


def _stated_table(rows: Sequence[StatedRow]) -> tuple[list[str], list[list[str]], list[str]]:
    header = ["name here", "variant", "params", "stated", "MACs", "stated", "reproduced", "source"]
    cells = [
        [
            f"{row.model} {row.dataset}",
            row.variant,
            f"{row.params:,}",
            f"{row.stated.params:,}",
            f"{row.macs:,}",
            "-" if row.stated.macs is None else f"{row.stated.macs:,}",
            "yes" if row.is_exact else "no",
            row.stated.source,
        ]
        for row in rows
    ]
    return header, cells, []


def _make_tables() -> Iterator[tuple[str, list[str], list[list[str]], list[str]]]:
    measured = {id(row.published): row for row in measure_rows()}
    for title, group in itertools.groupby(load_published_rows(), key=lambda row: row.table):
        rows = list(group)
        if rows[0].printed_latency:
            yield title, *_latency_table(rows)
        else:
            yield title, *_count_table([measured[id(row)] for row in rows])
    if stated := list(measure_stated_rows()):
        yield _BESIDE, *_stated_table(stated)


def format_tables(*, markdown: bool) -> str:
    """Return every table as text, for a terminal or as Markdown."""
    lines: list[str] = []
    for title, header, cells, notes in _make_tables():
        widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
        gap, edge = (" | ", "|") if markdown else ("  ", "")
        rule = ["-" * width for width in widths]
        lines += [f"### {title}" if markdown else title, ""]
        for row in (header, rule, *cells):
            padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append(f"{edge} {gap.join(padded)} {edge}".strip())
        lines.append("")
        lines += [f"[{number}] {note}" + "  " * markdown for number, note in enumerate(notes, 1)]
        lines += ["", ""]
    return "\n".join(lines).rstrip()


def plain_rows() -> list[dict[str, Any]]:
    """Return every row as what JSON can hold."""
    measured = {id(row.published): row for row in measure_rows()}
    published = [_plain_row(row, measured.get(id(row))) for row in load_published_rows()]
    return published + [_plain_stated_row(row) for row in measure_stated_rows()]


def _plain_row(row: PublishedRow, measured: MeasuredRow | None) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "table": row.table,
        "network": row.label,
        "model": row.model,
        "variant": row.variant,
        "dataset": row.dataset,
        "printed_in_paper": {
            "params": row.printed_params,
            "macs": row.printed_macs,
            "top1_percent": row.printed_accuracy,
            "latency": dict(row.printed_latency),
        },
        "note": row.note,
    }
    if measured is not None:
        plain |= {
            "counter": row.counter,
            "params": measured.params,
            "params_counted": measured.counted.params,
            "macs": measured.counted.macs,
            "is_exact": measured.is_exact,
            "reproduced": measured.verdict,
            "differences": list(measured.differences),
            "remarks": list(measured.remarks),
        }
    return plain


def _plain_stated_row(row: StatedRow) -> dict[str, Any]:
    return {
        "table": _BESIDE,
        "model": row.model,
        "variant": row.variant,
        "dataset": row.dataset,
        "stated": dataclasses.asdict(row.stated),
        "params": row.params,
        "macs": row.macs,
        "is_exact": row.is_exact,
    }


def require_exact() -> None:
    """Hold every network to its integers.

    Raises:
        GateError: One is not the network that the paper's counter saw, or that its family states.
    """
    wrong = [row for row in measure_rows() if not row.is_exact]
    if wrong:
        raise GateError(
            f"{len(wrong)} rows are not the reference's networks, first "
            f"{wrong[0].published.model}/{wrong[0].published.variant}; see golden.json"
        )
    for row in measure_stated_rows():
        if not row.is_exact:
            raise GateError(
                f"{row.model}/{row.variant} for {row.dataset} has {row.params:,} parameters and "
                f"{row.macs:,} multiply-accumulates, its family states {row.stated}"
            )
