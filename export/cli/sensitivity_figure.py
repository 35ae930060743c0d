"""The figure of a sensitivity analysis: one page that opens without a network."""

from __future__ import annotations

import html

from export.quantization.sensitivity.result import DIVERGED_DB, Sensitivity

__all__ = ["draw"]

_ALONE, _INSIDE = "#3b82f6", "#d97706"
_ROW = 18
"""Height of a layer, pixels."""


def draw(sensitivity: Sensitivity) -> str:
    """Return an HTML page: a bar a layer for its loss alone, a line for the loss inside."""
    import plotly.graph_objects as go  # a second to import

    rows = sensitivity.layers
    names = [row.name for row in rows]
    figure = go.Figure()
    figure.add_bar(
        name="this layer alone in int8: the output",
        y=names,
        x=[row.alone.sqnr_db for row in rows],
        orientation="h",
        marker_color=_ALONE,
        customdata=[", ".join(row.operators) for row in rows],
        hovertemplate="%{y}: %{x:.1f} dB<br>%{customdata}<extra></extra>",
    )
    figure.add_scatter(
        name="everything in int8: this layer's result",
        y=names,
        x=[row.inside_db for row in rows],
        mode="lines+markers",
        line_color=_INSIDE,
        hovertemplate="%{y}: %{x:.1f} dB<extra></extra>",
    )
    figure.add_vline(x=DIVERGED_DB, line_dash="dot", line_color="#64748b")
    figure.update_layout(
        template="plotly_white",
        height=_ROW * len(rows) + 160,
        margin={"l": 20, "r": 20, "t": 60, "b": 40},
        title={"text": html.escape(sensitivity.stem)},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        xaxis={"title": "signal to quantisation noise ratio against float32, dB"},
        yaxis={"autorange": "reversed", "automargin": True, "tickfont": {"size": 11}},
    )
    page: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return page
