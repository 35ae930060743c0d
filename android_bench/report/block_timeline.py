"""Every block in time order, and beneath it what the device was like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from android_bench.campaign.result import CampaignResult
from android_bench.records import Block
from android_bench.report.conditions import Span, add_track, readable_tracks, spans_of
from android_bench.report.escape import escape_for_plot
from android_bench.report.figure_style import (
    SYMBOLS,
    clip_symbol,
    colours,
    empty_figure,
    shorten,
    stack_panels,
)
from android_bench.report.wording import flag_words, milliseconds
from android_bench.statistics.design import is_disturbed

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["blocks_figure", "has_clipped_block"]


def blocks_figure(result: CampaignResult) -> go.Figure:
    """Draw the median of every block over time, with what the device was like beneath it.

    Disturbed blocks are hollow; blocks without samples have no mark and are in the table.
    """
    import plotly.graph_objects as go

    spans = spans_of(result)
    tracks = readable_tracks(spans)
    figure = empty_figure(330 + 105 * len(tracks))
    low, high = _shown_range_ns(result)
    for place, (label, colour) in enumerate(colours(result).items()):
        mine = [b for b in result.blocks if b.label == label and len(b.run.samples_ns)]
        symbol = SYMBOLS[place % len(SYMBOLS)]
        figure.add_trace(
            go.Scatter(
                x=[Span.of_block(result, b).begin_s for b in mine],
                y=[min(max(b.median_ns, low), high) / 1e6 for b in mine],
                mode="markers",
                name=escape_for_plot(shorten(label)),
                marker={
                    "color": colour,
                    "size": 9,
                    "line": {"width": 2, "color": colour},
                    "symbol": [_symbol(b, symbol, low, high) for b in mine],
                },
                customdata=[[b.index, b.attempt, b.median_ns] for b in mine],
                hovertext=[_hover(b) for b in mine],
                hoverinfo="text",
            )
        )
    for axis, track in enumerate(tracks, start=2):
        add_track(figure, spans, track, axis)
    stack_panels(figure, [("block median, ms", 2.6), *((track.name, 1.0) for track in tracks)])
    return figure


def _shown_range_ns(result: CampaignResult) -> tuple[float, float]:
    """Return what the undisturbed blocks need: one disturbed block must not flatten the rest."""
    every = [b for b in result.blocks if len(b.run.samples_ns)]
    medians = [b.median_ns for b in every if not is_disturbed(b)] or [b.median_ns for b in every]
    low, high = min(medians, default=0.0), max(medians, default=1.0)
    margin = 0.3 * max(high - low, 0.01 * high)
    return low - margin, high + margin


def has_clipped_block(result: CampaignResult) -> bool:
    """Tell whether a disturbed block lies beyond the edge of the figure."""
    low, high = _shown_range_ns(result)
    return any(not low <= b.median_ns <= high for b in result.blocks if len(b.run.samples_ns))


def _symbol(block: Block, own: str, low: float, high: float) -> str:
    return clip_symbol(own, block.median_ns, low, high, hollow=is_disturbed(block))


def _hover(block: Block) -> str:
    repeat = f", attempt {block.attempt + 1}" if block.attempt else ""
    lines = [
        escape_for_plot(block.label),
        f"block {block.index}{repeat}, round {block.round}",
        f"median {milliseconds(block.median_ns)} of {len(block.run.samples_ns)}",
    ]
    if block.flags:
        lines.append(flag_words(block.flags))
    return "<br>".join(lines)
