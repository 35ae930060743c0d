"""The forest plot: every comparison's ratio with its interval, on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from android_bench.campaign.result import CampaignResult
from android_bench.report.escape import escape_for_plot
from android_bench.report.figure_style import (
    BASELINE_COLOUR,
    CONTROL_COLOUR,
    VERDICT_COLOURS,
    empty_figure,
    shorten,
)
from android_bench.report.wording import change
from android_bench.statistics.comparison import Comparison

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["forest_figure"]


def forest_figure(results: Sequence[CampaignResult]) -> go.Figure:
    """Draw every comparison's ratio with its interval, and each campaign's A/A control.

    A shaded band behind a row is the device's noise floor for it.
    """
    import plotly.graph_objects as go

    rows: list[tuple[Comparison, str, bool]] = []
    for result in results:
        whose = f" · {result.campaign.name}" if len(results) > 1 else ""
        rows += [(c, f"{c.label} / {c.baseline}{whose}", False) for c in result.comparisons]
        if result.control is not None:
            c = result.control
            rows.append((c, f"{c.label} / {c.baseline}{whose}", True))
    figure = empty_figure(110 + 46 * len(rows))
    for place, (comparison, _, _) in enumerate(rows):
        if comparison.noise_floor is not None:
            figure.add_shape(
                type="rect",
                x0=100 * -comparison.noise_floor,
                x1=100 * comparison.noise_floor,
                y0=place - 0.42,
                y1=place + 0.42,
                fillcolor=CONTROL_COLOUR,
                opacity=0.13,
                line_width=0,
                layer="below",
            )
    for place, (c, name, is_control) in enumerate(rows):
        colour = CONTROL_COLOUR if is_control else VERDICT_COLOURS[c.verdict]
        x, low, high = (100 * (value - 1) for value in (c.ratio, c.low, c.high))
        text = f"{escape_for_plot(name)}<br>{change(c.ratio)} ({change(c.low)} to {change(c.high)})"
        figure.add_trace(
            go.Scatter(
                x=[x],
                y=[place],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - x],
                    "arrayminus": [x - low],
                    "thickness": 2.5,
                    "width": 7,
                    "color": colour,
                },
                mode="markers",
                marker={"size": 12, "color": colour, "symbol": "x" if is_control else "square"},
                customdata=[[c.ratio, c.low, c.high]],
                hovertext=[text],
                hoverinfo="text",
                name=escape_for_plot(name),
                showlegend=False,
            )
        )
    figure.add_vline(x=0, line={"width": 1.5, "dash": "dot", "color": BASELINE_COLOUR})
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[escape_for_plot(shorten(name)) for _, name, _ in rows],
        range=[len(rows) - 0.4, -0.6],
        automargin=True,
        showgrid=False,
        zeroline=False,
    )
    title = {"text": "latency against the baseline, %", "font": {"size": 13}}
    figure.update_xaxes(title=title, zeroline=False, automargin=True)
    return figure
