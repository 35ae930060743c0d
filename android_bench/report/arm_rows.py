"""What is shown of a count: names, values and their ratio to the first, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from android_bench.records import MAC_PRECISIONS, Counts
from android_bench.report.wording import change

__all__ = ["CostRow", "cost_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One line.

    Attributes:
        name: What is counted.
        values: Of each file.
        shown: The same in words.
        changes: Of each file but the first, against the first; empty where that has none.
    """

    name: str
    values: tuple[int, ...]
    shown: tuple[str, ...]
    changes: tuple[str, ...]


def _macs_of(precision: str) -> Callable[[Counts], int]:
    return lambda counts: int(getattr(counts, f"macs_{precision}"))


_NUMBERS: dict[str, Callable[[Counts], int]] = {
    "instructions": lambda c: c.instructions,
    "loads": lambda c: c.loads,
    "stores": lambda c: c.stores,
    "branches": lambda c: c.branch,
    **{f"multiply-accumulates {name}": _macs_of(name) for name in MAC_PRECISIONS},
    "L1 misses, modelled": lambda c: c.l1_misses,
    "L2 misses, modelled": lambda c: c.l2_misses,
}
_BYTES: dict[str, Callable[[Counts], int]] = {
    "loaded": lambda c: c.bytes_loaded,
    "stored": lambda c: c.bytes_stored,
    "working set": lambda c: c.working_set_bytes,
}


def cost_rows(counts: Sequence[Counts]) -> list[CostRow]:
    """Return the lines of some counts; what none of them has is left out."""
    rows = [_row(name, [of(c) for c in counts], "") for name, of in _NUMBERS.items()]
    rows += [_row(name, [of(c) for c in counts], " MB") for name, of in _BYTES.items()]
    return [row for row in rows if any(row.values)]


def _row(name: str, values: Sequence[int], unit: str) -> CostRow:
    first = values[0]
    return CostRow(
        name=name,
        values=tuple(values),
        shown=tuple(f"{v / 1e6:,.2f}{unit}" if unit else f"{v:,}" for v in values),
        changes=tuple(change(v / first) if first else "" for v in values[1:]),
    )
