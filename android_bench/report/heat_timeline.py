"""Every heat in time order: its ratios, the weather beneath them, and what the device was like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from android_bench.campaign.result import CampaignResult
from android_bench.records import HeatRecord
from android_bench.report.conditions import Span, add_track, readable_tracks, spans_of
from android_bench.report.escape import escape_for_plot
from android_bench.report.figure_style import (
    BASELINE_COLOUR,
    SYMBOLS,
    clip_symbol,
    colours,
    empty_figure,
    shorten,
    stack_panels,
)
from android_bench.report.wording import change, count_flags, flag_words
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.slowness import measure_slowness, thin_slowness
from android_bench.statistics.turns import Heat

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["has_clipped_heat", "heats_figure"]

WEATHER_COLOUR = "#3b82f6"
MOST_POINTS = 2000  # of the weather: more than the screen has columns, and a small page


def heats_figure(result: CampaignResult) -> go.Figure:
    """Draw the ratios of every heat over time, with the weather and the device beneath them.

    Disturbed heats are hollow; those without a ratio have no mark and are in the table. A band
    is the interval of a comparison.
    """
    spans = spans_of(result)
    tracks = readable_tracks(spans)
    figure = empty_figure(460 + 105 * len(tracks))
    _add_intervals(figure, result)
    _add_ratios(figure, result, spans)
    highest = _add_weather(figure, result, spans)
    for axis, track in enumerate(tracks, start=3):
        add_track(figure, spans, track, axis)
    panels = [("latency against<br>the baseline, %", 2.6), ("slower than<br>undisturbed, %", 1.5)]
    stack_panels(figure, [*panels, *((track.name, 1.0) for track in tracks)])
    figure.update_layout(yaxis2={"range": [0.0, highest]})
    return figure


def _add_intervals(figure: go.Figure, result: CampaignResult) -> None:
    own = colours(result)
    for one in result.comparisons:
        figure.add_shape(
            type="rect",
            xref="paper",
            x0=0,
            x1=1,
            y0=100 * (one.low - 1),
            y1=100 * (one.high - 1),
            fillcolor=own[one.label],
            opacity=0.16,
            line_width=0,
            layer="below",
        )
    line = {"width": 1.5, "dash": "dot", "color": BASELINE_COLOUR}
    figure.add_shape(type="line", xref="paper", x0=0, x1=1, y0=0, y1=0, line=line, layer="below")


def _add_ratios(figure: go.Figure, result: CampaignResult, spans: list[Span]) -> None:
    import plotly.graph_objects as go

    low, high = _shown_range(result)
    ran = list(zip(result.heats, result.judged, spans, strict=True))
    for place, (label, colour) in enumerate(colours(result).items()):
        if label == result.campaign.design.baseline:
            continue
        mine = [one for one in ran if label in one[1].log_ratios]
        ratios = [float(np.exp(judged.log_ratios[label])) for _, judged, _ in mine]
        symbol = SYMBOLS[place % len(SYMBOLS)]
        figure.add_trace(
            go.Scatter(
                x=[(span.begin_s + span.end_s) / 2 for _, _, span in mine],
                y=[100 * (min(max(ratio, low), high) - 1) for ratio in ratios],
                mode="markers",
                name=escape_for_plot(shorten(label)),
                marker={
                    "color": colour,
                    "size": 9,
                    "line": {"width": 2, "color": colour},
                    "symbol": [
                        clip_symbol(symbol, ratio, low, high, hollow=is_disturbed(judged))
                        for ratio, (_, judged, _) in zip(ratios, mine, strict=True)
                    ],
                },
                customdata=[
                    [heat.number, heat.attempt, ratio]
                    for ratio, (heat, _, _) in zip(ratios, mine, strict=True)
                ],
                hovertext=[_hover(label, heat, judged) for heat, judged, _ in mine],
                hoverinfo="text",
            )
        )


def _add_weather(figure: go.Figure, result: CampaignResult, spans: list[Span]) -> float:
    """Draw the weather and return the highest value that its panel must show, in percent.

    A few peaks leave the panel: one of them must not flatten the rest.
    """
    import plotly.graph_objects as go

    record = result.campaign
    measured = measure_slowness(record.design, result.heats, cpu_mask=record.rules.cpu_mask)
    x: list[float | None] = []
    y: list[float | None] = []
    for span, heat in zip(spans, thin_slowness(measured, MOST_POINTS), strict=True):
        x += [round(span.seconds_at(at_ns), 3) for at_ns in heat.at_ns.tolist()]
        y += [round(100 * share, 2) for share in heat.shares.tolist()]
        x.append(None)  # nothing is known of the time between two heats
        y.append(None)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            yaxis="y2",
            mode="lines",
            line={"color": WEATHER_COLOUR, "width": 1.2},
            hovertemplate="turns took %{y:.1f} % longer<extra></extra>",
            name="weather",
            showlegend=False,
        )
    )
    known = [value for value in y if value is not None]
    return max(5.0, 1.3 * float(np.quantile(known, 0.98))) if known else 5.0


def _shown_range(result: CampaignResult) -> tuple[float, float]:
    """Return what the undisturbed heats need: one disturbed heat must not flatten the rest."""
    good = [heat for heat in result.judged if not is_disturbed(heat)] or result.judged
    ratios = [float(np.exp(log)) for heat in good for log in heat.log_ratios.values()]
    ratios += [edge for one in result.comparisons for edge in (one.low, one.high)]
    low, high = min(ratios, default=1.0), max(ratios, default=1.0)
    margin = 0.3 * max(high - low, 0.01)
    return low - margin, high + margin


def has_clipped_heat(result: CampaignResult) -> bool:
    """Tell whether a ratio of a disturbed heat lies beyond the edge of the figure."""
    low, high = _shown_range(result)
    logs = [log for heat in result.judged for log in heat.log_ratios.values()]
    return any(not low <= np.exp(log) <= high for log in logs)


def _hover(label: str, heat: HeatRecord, judged: Heat) -> str:
    repeat = f", attempt {heat.attempt + 1}" if heat.attempt else ""
    lines = [
        f"{escape_for_plot(label)} {change(float(np.exp(judged.log_ratios[label])))}",
        f"heat {heat.number}{repeat}",
        f"{judged.n_pairs} pairs of turns",
    ]
    if judged.excluded:
        lines.append(f"left out: {count_flags(judged.excluded)}")
    if judged.flags:
        lines.append(flag_words(judged.flags))
    return "<br>".join(lines)
