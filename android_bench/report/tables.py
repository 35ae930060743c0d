"""Tables for the console. Names from outside are plain text: no markup, no escape codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from android_bench.campaign.result import CampaignResult
from android_bench.records import OperatorProfile
from android_bench.report.escape import escape_controls
from android_bench.report.heats import find_curves
from android_bench.report.wording import (
    change,
    count_runs,
    gigahertz,
    interval,
    mebibytes,
    milliseconds,
    name_run,
    name_unit,
)
from android_bench.statistics.comparison import Comparison, Verdict
from android_bench.statistics.summary import Summary
from android_bench.store.reader import CampaignOverview

__all__ = [
    "campaign_table",
    "make_table",
    "name_units",
    "operator_table",
    "plain_name",
    "summary_table",
    "verdict_table",
]

_STYLES = {Verdict.FASTER: "bold green", Verdict.SLOWER: "bold red", Verdict.NOT_RESOLVED: "yellow"}


def make_table(*columns: str, title: str = "") -> Table:
    """Return an empty table; the first column is text, the others are numbers."""
    # As Text, because a plain str would be read as markup.
    table = Table(title=Text(title) if title else None, title_justify="left")
    for number, column in enumerate(columns):
        justify: Literal["left", "right"] = "left" if number == 0 else "right"
        table.add_column(Text(column, style="bold"), justify=justify, overflow="fold")
    return table


def plain_name(text: str) -> Text:
    """Return a name from outside as a cell."""
    return Text(escape_controls(text))


def name_units(results: Sequence[CampaignResult]) -> str:
    """Return what the intervals of some campaigns rest on: rounds, heats, or both."""
    words = (f"{name_unit(result.campaign.rules.pairing)}s" for result in results)
    return " or ".join(dict.fromkeys(words)) or "rounds"


def verdict_table(results: Sequence[CampaignResult]) -> Table:
    """Return every comparison: ratio, interval, verdict and what the device can resolve."""
    units = name_units(results)
    table = make_table("variant", "against", "latency", "interval", units, "noise floor", "verdict")
    for result in results:
        for comparison in result.comparisons:
            table.add_row(*_verdict_cells(comparison))
        if result.control is not None:
            table.add_row(*_verdict_cells(result.control, is_control=True), style="dim")
        table.add_section()
    return table


def _verdict_cells(comparison: Comparison, *, is_control: bool = False) -> list[Text]:
    floor, verdict = comparison.noise_floor, comparison.verdict
    word, style = verdict.value, _STYLES[verdict]
    if is_control:
        right = verdict is Verdict.NOT_RESOLVED
        word, style = ("equal, as it must be", "") if right else ("UNEQUAL", "bold red")
    return [
        plain_name(comparison.label),
        plain_name(comparison.baseline),
        Text(change(comparison.ratio)),
        Text(interval(comparison)),
        Text(str(comparison.n_rounds)),
        Text("" if floor is None else f"±{floor:.2%}"),
        Text(word, style=style),
    ]


def summary_table(result: CampaignResult) -> Table:
    """Return what each variant of a campaign takes, a column a variant."""
    title = escape_controls(f"{result.campaign.name} · {result.device.model}")
    table = make_table("", *(escape_controls(s.label) for s in result.summaries), title=title)
    for name, show in _summary_rows(name_run(result.campaign.rules.pairing)).items():
        table.add_row(name, *(Text(show(s)) for s in result.summaries))
    if curves := find_curves(result):
        costs = [
            curves[s.label].first_cost if s.label in curves else None for s in result.summaries
        ]
        shown = [Text("not seen" if cost is None else change(1 + cost)) for cost in costs]
        table.add_row("first in a turn", *shown)
    return table


def _summary_rows(run: str) -> Mapping[str, Callable[[Summary], str]]:
    """Return name to what is shown; `run` is a block or a heat."""
    return {
        "median": lambda s: milliseconds(s.median_ns),
        "p10": lambda s: milliseconds(s.p10_ns),
        "p90": lambda s: milliseconds(s.p90_ns),
        "min": lambda s: milliseconds(s.min_ns),
        "MAD": lambda s: milliseconds(s.mad_ns),
        "cold load": lambda s: milliseconds(s.cold_load_ns),
        "first inference": lambda s: milliseconds(s.first_inference_ns),
        "peak memory": lambda s: mebibytes(s.peak_memory_kib),
        "samples": lambda s: f"{s.n_samples} in {s.n_blocks} {run}s",
        f"disturbed {run}s": lambda s: str(s.n_disturbed),
        "threads, cores": lambda s: f"{s.threads} on {','.join(map(str, s.cores)) or 'unknown'}",
        "frequency": lambda s: gigahertz(s.mean_freq_khz),
        "last third / first": lambda s: (
            f"too few {run}s" if s.sustained_ratio is None else change(s.sustained_ratio)
        ),
    }


def campaign_table(overview: Sequence[CampaignOverview]) -> Table:
    """Return the campaigns of a store, the oldest first."""
    table = make_table("campaign", "name", "device", "measured", "disturbed", "last event")
    for column in table.columns[1:3]:
        column.justify = "left"
    for line in overview:
        event = line.last_event
        table.add_row(
            plain_name(line.campaign.campaign_id),
            plain_name(line.campaign.name),
            plain_name(f"{line.device.model} ({line.device.serial})"),
            count_runs(line.blocks, line.campaign.rules.pairing),
            str(line.flagged),
            plain_name("" if event is None else event.message),
        )
    return table


def operator_table(profile: OperatorProfile, rows: int = 20) -> Table:
    """Return the slowest operators of a profile, by median, with their share of the sum."""
    medians = profile.median_ns()
    total = sum(medians) or 1.0
    table = make_table(
        "operator", "delegate", "median", "share", title=escape_controls(profile.label)
    )
    order = sorted(range(len(medians)), key=lambda i: -medians[i])
    for place in order[:rows]:
        operator = profile.operators[place]
        table.add_row(
            plain_name(operator.name),
            plain_name(operator.delegate or "none"),
            milliseconds(medians[place]),
            f"{medians[place] / total:.1%}",
        )
    return table
