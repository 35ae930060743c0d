"""The report as one HTML page that needs nothing else: no network, no other file.

Everything on it comes from the store; `html` says how names from outside are kept harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from android_bench.campaign.result import CampaignResult
from android_bench.records import ArmCount, ForeignResult, Pairing
from android_bench.report.arm_section import CostDifference, cost_differences
from android_bench.report.block_timeline import blocks_figure, has_clipped_block
from android_bench.report.conditions import spans_of, track_names
from android_bench.report.distribution import samples_figure
from android_bench.report.figure_style import colours
from android_bench.report.foreign import find_foreign
from android_bench.report.forest import forest_figure
from android_bench.report.heat_timeline import has_clipped_heat, heats_figure
from android_bench.report.heats import HeatRow, find_curves, heat_rows
from android_bench.report.html import render_page
from android_bench.report.paper import (
    PrintedLatency,
    find_printed,
    printed_latencies,
)
from android_bench.report.turn_curves import curves_figure
from android_bench.report.waterfall import waterfall_figure
from android_bench.statistics.comparison import Comparison
from android_bench.statistics.summary import Summary
from android_bench.statistics.turn_curve import TurnCurve
from pfd_models.errors import InputError

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["report_page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """One campaign as the template reads it."""

    number: int
    result: CampaignResult
    colours: Mapping[str, str]
    heat_rows: Sequence[HeatRow]
    curves: Mapping[str, TurnCurve]
    read: Sequence[str]
    unread: Sequence[str]
    beyond: float
    costs: Sequence[CostDifference]
    clipped: bool

    @property
    def pairing(self) -> Pairing:
        """Return whether blocks or turns were measured."""
        return self.result.campaign.rules.pairing

    @property
    def undisturbed(self) -> Mapping[str, Comparison]:
        """Return label to the second figure."""
        return {one.label: one for one in self.result.undisturbed}

    @property
    def labels_of(self) -> Mapping[str, list[str]]:
        """Return SHA-256 to the labels that ran the file."""
        found: dict[str, list[str]] = {}
        for arm in self.result.campaign.arms:
            found.setdefault(arm.artifact_sha256, []).append(arm.label)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _PaperRow:
    """A printed latency beside ours."""

    printed: PrintedLatency
    summary: Summary
    section: _Section
    ratios: Mapping[str, float]
    ratio: float | None


def report_page(
    results: Sequence[CampaignResult],
    printed: Sequence[PrintedLatency] | None = None,
    counts: Sequence[ArmCount] = (),
    foreign: Sequence[ForeignResult] = (),
) -> str:
    """Return the page about some campaigns.

    Args:
        results: From `result.read_result`, in the order shown.
        printed: The paper's latencies; the installed ones by default.
        counts: What the campaigns' files execute on emulated cores, where that was counted.
        foreign: What others published, of any network; those of the campaigns' are shown.

    Raises:
        InputError: No campaign is given.
    """
    if not results:
        raise InputError("a report needs at least one campaign: name one, or 'last'")
    figures: dict[str, go.Figure] = {}
    if any(r.comparisons or r.control for r in results):
        figures["forest"] = forest_figure(results)
    sections = []
    for number, result in enumerate(results, start=1):
        section, drawn = _make_section(number, result, counts)
        sections.append(section)
        figures |= drawn
    table = tuple(printed_latencies() if printed is None else printed)
    return render_page(
        "page.html.j2",
        figures,
        sections=sections,
        paper=_paper_rows(sections, table),
        foreign=find_foreign(results, foreign),
    )


def _make_section(
    number: int, result: CampaignResult, counts: Sequence[ArmCount]
) -> tuple[_Section, dict[str, go.Figure]]:
    """Return a campaign as the template reads it, and its figures by their place on the page."""
    in_turns = result.campaign.rules.pairing is Pairing.TURNS
    samples, beyond = samples_figure(result)
    costs = cost_differences(result, counts, number)
    read, unread = track_names(spans_of(result))
    section = _Section(
        number=number,
        result=result,
        colours=colours(result),
        heat_rows=heat_rows(result),
        curves=find_curves(result),
        read=read,
        unread=unread,
        beyond=beyond,
        costs=costs,
        clipped=has_clipped_heat(result) if in_turns else has_clipped_block(result),
    )
    figures = {cost.figure_id: waterfall_figure(cost) for cost in costs}
    if in_turns and any(len(heat.turns.samples_ns) for heat in result.heats):
        figures[f"heats-{number}"] = heats_figure(result)
    if not in_turns and any(len(block.run.samples_ns) for block in result.blocks):
        figures[f"blocks-{number}"] = blocks_figure(result)
    if f"heats-{number}" in figures or f"blocks-{number}" in figures:
        figures[f"samples-{number}"] = samples
    if section.curves:
        figures[f"curves-{number}"] = curves_figure(section.curves, section.colours)
    return section, figures


def _paper_rows(
    sections: Sequence[_Section], printed: tuple[PrintedLatency, ...]
) -> list[_PaperRow]:
    rows = []
    for section in sections:
        if section.result.device.emulated:
            continue  # its times are nothing to put beside a phone's
        for summary in section.result.summaries:
            artifact = section.result.artifact(summary.label)
            row = find_printed(printed, artifact.model, artifact.variant)
            if row is None:
                continue
            rows.append(
                _PaperRow(
                    printed=row,
                    summary=summary,
                    section=section,
                    ratios=_printed_ratios(printed, row, artifact.model),
                    ratio=_own_ratio(section.result, summary.label),
                )
            )
    return rows


def _printed_ratios(
    printed: tuple[PrintedLatency, ...], row: PrintedLatency, model: str
) -> dict[str, float]:
    original = find_printed(printed, model, "orig")
    if original is None or original is row:
        return {}
    return {name: ms / original.latency_ms[name] for name, ms in row.latency_ms.items()}


def _own_ratio(result: CampaignResult, label: str) -> float | None:
    for comparison in result.comparisons:
        if comparison.label == label:
            against = result.artifact(comparison.baseline)
            own = result.artifact(label)
            if (against.model, against.variant) == (own.model, "orig"):
                return comparison.ratio
    return None
