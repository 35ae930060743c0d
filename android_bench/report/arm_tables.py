"""Counts as tables and lines for the console."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from android_bench.arm_cost.core import CORES
from android_bench.arm_cost.difference import OperatorChange
from android_bench.arm_cost.document import CountedFile
from android_bench.arm_cost.gate import Checked
from android_bench.records import Counts
from android_bench.report.arm_rows import cost_rows
from android_bench.report.tables import make_table, plain_name

__all__ = ["cost_tables", "difference_table", "gate_lines"]


def cost_tables(files: Sequence[CountedFile]) -> list[Table]:
    """Return a table for each engine and network, in the order given."""
    groups: dict[tuple[object, ...], list[CountedFile]] = {}
    for file in files:
        groups.setdefault(_group(file), []).append(file)
    return [_cost_table(group) for group in groups.values()]


def _group(file: CountedFile) -> tuple[object, ...]:
    a = file.artifact
    if a is None or not a.variant:
        return (file.count.engine,)
    return (file.count.engine, a.model, a.dataset, a.resolution)


def _title(file: CountedFile) -> str:
    core = CORES[file.count.core].title if file.count.core in CORES else file.count.core
    how = f"{file.count.engine} {file.count.engine_version} on {core}, one inference, counted"
    if file.artifact is None:
        return how
    pixels = f" at {file.artifact.resolution}" if file.artifact.resolution else ""
    return f"{file.artifact.model}{pixels}, {how}"


def _labels(files: Sequence[CountedFile]) -> list[str]:
    """Return variants, with precisions where these tell files apart, or else the files' names."""
    plain = [file.label for file in files]
    precise = [f"{f.label} {f.artifact.precision if f.artifact else ''}".strip() for f in files]
    for labels in (plain, precise):
        if len(set(labels)) == len(files):
            return labels
    return [file.file for file in files]


def _cost_table(files: Sequence[CountedFile]) -> Table:
    labels = _labels(files)
    columns = ["", labels[0]]
    for label in labels[1:]:
        columns += [label, "change"]
    table = make_table(*columns, title=_title(files[0]))
    for row in cost_rows([file.count.counts for file in files]):
        cells = [row.shown[0]]
        for shown, changed in zip(row.shown[1:], row.changes, strict=True):
            cells += [shown, changed]
        table.add_row(row.name, *(Text(cell) for cell in cells))
    return table


def difference_table(
    before: CountedFile, after: CountedFile, changes: Sequence[OperatorChange], *, rows: int
) -> Table:
    """Return the operators that differ most, by instructions, and what all others add."""
    old, new = _labels([before, after])
    table = make_table("operator", "places", old, new, "change", "MACs", title=_title(after))
    changed = sorted((c for c in changes if c.instructions), key=lambda c: -abs(c.instructions))
    for one in changed[:rows]:
        table.add_row(
            plain_name(one.name), one.places, *_cells(one.counts_before, one.counts_after)
        )
    if rest := changed[rows:]:
        sums = [
            sum((getattr(c, side) for c in rest), Counts())
            for side in ("counts_before", "counts_after")
        ]
        table.add_row(f"{len(rest)} others that differ", "", *_cells(*sums))
    table.add_section()
    table.add_row("the whole inference", "", *_cells(before.count.counts, after.count.counts))
    return table


def _cells(old: Counts, new: Counts) -> list[Text]:
    return [
        Text(f"{old.instructions:,}" if old.instructions else "-"),
        Text(f"{new.instructions:,}" if new.instructions else "-"),
        Text(f"{new.instructions - old.instructions:+,}"),
        Text(f"{new.macs - old.macs:+,}"),
    ]


def gate_lines(checked: Sequence[Checked], tolerance: float, shown: int = 10) -> list[str]:
    """Return a line for each file, and for each that is dearer the operators that grew."""
    lines = []
    for file in checked:
        dearer = file.is_dearer(tolerance)
        lines.append(
            f"{'DEARER' if dearer else 'ok'}: {file.file} with {file.after.engine}: "
            f"{file.before.counts.instructions:,} -> {file.after.counts.instructions:,} "
            f"instructions ({100 * (file.ratio - 1):+.3f} %, {100 * tolerance:g} % is allowed)"
        )
        if not dearer:
            continue
        lines += [
            f"  {c.name} {c.places}: {c.instructions:+,}{_mark_new(c)}" for c in file.grown[:shown]
        ]
        if more := file.grown[shown:]:
            lines.append(f"  {len(more)} others: {sum(c.instructions for c in more):+,}")
    return lines


def _mark_new(one: OperatorChange) -> str:
    return " (not in the baseline)" if one.before is None and one.after is not None else ""
