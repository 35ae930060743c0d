"""The within-burst curve: what the first inferences after another variant's turn cost more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from android_bench.report.escape import escape_for_plot
from android_bench.report.figure_style import BASELINE_COLOUR, empty_figure, shorten
from android_bench.statistics.turn_curve import TurnCurve

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["curves_figure"]


def curves_figure(curves: Mapping[str, TurnCurve], colours: Mapping[str, str]) -> go.Figure:
    """Draw the curves of several variants; places that no comparison counts are hollow.

    Args:
        curves: Label to curve.
        colours: Label to colour.
    """
    import plotly.graph_objects as go

    figure = empty_figure(250)
    for label, curve in curves.items():
        places = list(range(1, len(curve.costs) + 1))
        figure.add_trace(
            go.Scatter(
                x=places,
                y=[100 * cost for cost in curve.costs],
                mode="lines+markers",
                name=escape_for_plot(shorten(label)),
                line={"color": colours[label], "width": 1.5},
                marker={
                    "color": colours[label],
                    "size": 9,
                    "line": {"width": 2, "color": colours[label]},
                    "symbol": ["circle-open" if n <= curve.discards else "circle" for n in places],
                },
                hovertemplate="inference %{x} of a turn: %{y:+.2f} %<extra></extra>",
            )
        )
    figure.add_hline(y=0, line={"width": 1.5, "dash": "dot", "color": BASELINE_COLOUR})
    longest = max((len(curve.costs) for curve in curves.values()), default=1)
    figure.update_layout(
        showlegend=True,  # also for one
        xaxis={
            "title": {"text": "place in a turn that follows another's", "font": {"size": 13}},
            "tickmode": "linear",
            "dtick": max(1, longest // 20),
            "zeroline": False,
        },
        yaxis={
            "title": {"text": "longer than settled, %", "font": {"size": 13}, "standoff": 8},
            "zeroline": False,
        },
    )
    return figure
