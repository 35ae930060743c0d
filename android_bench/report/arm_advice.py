"""Which sites to convert, as a table and lines for the console."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from android_bench.arm_cost.advice import ADDITIVE, Advice
from android_bench.arm_cost.core import CORES
from android_bench.records import ArmCount, Counts
from android_bench.report.tables import make_table, plain_name

__all__ = ["AdvicePage", "advice_lines", "advice_table"]

_COLUMNS = {
    "MACs": "macs",
    "instructions": "instructions",
    "loads": "loads",
    "L1 misses, modelled": "l1_misses",
    "L2 misses, modelled": "l2_misses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvicePage:
    """What is told of a network in one engine and precision.

    Attributes:
        network: What it is called.
        precision: Its files compute in.
        count: Of the original; it tells engine and core.
        sites: Name and description of each place, in the order of the network.
        advice: What was counted.
        refused: Why a choice of sites could not be built.
        cheapest: What the cheapest choice is called.
        command: Builds it.
    """

    network: str
    precision: str
    count: ArmCount
    sites: tuple[tuple[str, str], ...]
    advice: Advice
    refused: Mapping[frozenset[str], str]
    cheapest: str
    command: str


def advice_table(page: AdvicePage) -> Table:
    """Return what each conversion adds to the original, alone, in sum and all together."""
    advice, engine = page.advice, page.count
    core = CORES[engine.core].title if engine.core in CORES else engine.core
    title = (
        f"{page.network} {page.precision}, {engine.engine} {engine.engine_version} on {core}, "
        "one inference, counted"
    )
    table = make_table("converted", *_COLUMNS, title=title)
    original = advice.original
    table.add_row(
        "nothing", *(Text(f"{getattr(original, field):,}") for field in _COLUMNS.values())
    )
    table.add_section()
    for name, told in page.sites:
        counts = advice.counted.get(frozenset([name]))
        table.add_row(
            plain_name(f"{name} alone: {told}"), *_cells(original, _added(counts, original))
        )
    table.add_section()
    table.add_row("the sum of these", *_cells(original, advice.parts))
    table.add_row("all together", *_cells(original, _added(advice.whole, original)))
    table.add_section()
    best = advice.counted[advice.cheapest]
    table.add_row(
        plain_name(f"cheapest counted: {page.cheapest}"), *_cells(original, _added(best, original))
    )
    return table


def advice_lines(page: AdvicePage) -> list[str]:
    """Return whether the parts make the whole, what could not be built, and what to build."""
    advice = page.advice
    base = advice.original.instructions
    lines = [
        f"not counted: {'+'.join(site for site, _ in page.sites if site in chosen)}: {reason}"
        for chosen, reason in page.refused.items()
    ]
    parts = advice.parts("instructions")
    if parts is not None and advice.whole is not None:
        whole = advice.whole.instructions - base
        verdict = "add up" if advice.adds_up else "do not add up"
        lines.append(
            f"the parts {verdict}: all together {whole:+,} instructions, their sum {parts:+,}, "
            f"apart by {_percent(abs(whole - parts), base)} of the original's "
            f"(up to {100 * ADDITIVE:g} % adds up)"
        )
    saved = advice.counted[advice.cheapest].instructions - base
    known, there = len(advice.counted), 2 ** len(page.sites)
    told = (
        f"{page.cheapest}, {_percent(saved, base, sign=True)} instructions"
        if advice.cheapest
        else f"{page.cheapest}: no conversion saves instructions at this input size"
    )
    lines.append(f"cheapest of {known} choices counted, of {there} there are: {told}")
    lines.append(f"build it: {page.command}")
    return lines


def _added(counts: Counts | None, original: Counts) -> Callable[[str], int | None]:
    """Return what tells by how much a field exceeds the original's."""
    return lambda field: (
        None if counts is None else int(getattr(counts, field)) - int(getattr(original, field))
    )


def _cells(original: Counts, added: Callable[[str], int | None]) -> list[Text]:
    cells = []
    for field in _COLUMNS.values():
        more, base = added(field), int(getattr(original, field))
        shown = "-" if more is None else f"{more:+,}"
        if more is not None and base:
            shown += f" ({_percent(more, base, sign=True)})"
        cells.append(Text(shown))
    return cells


def _percent(number: int, base: int, *, sign: bool = False) -> str:
    share = 100 * number / base
    return f"{share:+.2f} %" if sign else f"{share:.2f} %"
