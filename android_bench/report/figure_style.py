"""What all figures of the page share.

Colours of text, axes and background are not set here: the page's style sheet gives them, for
light and dark alike. Marks have mid-tones that are readable on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from android_bench.campaign.result import CampaignResult
from android_bench.records import Role
from android_bench.statistics.comparison import Verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = [
    "BASELINE_COLOUR",
    "CONTROL_COLOUR",
    "SYMBOLS",
    "VERDICT_COLOURS",
    "clip_symbol",
    "colours",
    "empty_figure",
    "shorten",
    "stack_panels",
]

VERDICT_COLOURS = {
    Verdict.FASTER: "#0d9488",
    Verdict.SLOWER: "#e11d48",
    Verdict.NOT_RESOLVED: "#64748b",
}
BASELINE_COLOUR, CONTROL_COLOUR = "#64748b", "#a855f7"
CANDIDATE_COLOURS = ("#d97706", "#0d9488", "#3b82f6", "#e11d48", "#65a30d", "#c026d3")
SYMBOLS = ("circle", "square", "diamond", "pentagon", "hexagon", "star")


def empty_figure(height: int) -> go.Figure:
    """Return a figure without data, as high as given, in pixels."""
    import plotly.graph_objects as go  # a second to import

    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 60, "r": 20, "t": 10, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left", "namelength": -1},
    )
    return figure


def colours(result: CampaignResult) -> dict[str, str]:
    """Return label to colour, in the order of the arms."""
    fresh = iter(CANDIDATE_COLOURS * (1 + len(result.campaign.arms)))
    fixed = {Role.BASELINE: BASELINE_COLOUR, Role.CONTROL: CONTROL_COLOUR}
    return {a.label: fixed.get(a.role) or next(fresh) for a in result.campaign.arms}


def shorten(name: str) -> str:
    """Return a name that fits beside a figure."""
    return name if len(name) <= 44 else name[:43] + "…"


def clip_symbol(own: str, value: float, low: float, high: float, *, hollow: bool) -> str:
    """Return the mark of a value: a triangle where it lies beyond an edge of its figure."""
    if value > high:
        return "triangle-up-open"
    if value < low:
        return "triangle-down-open"
    return f"{own}-open" if hollow else own


def stack_panels(figure: go.Figure, panels: Sequence[tuple[str, float]]) -> None:
    """Give a figure one axis of time with panels above each other, the first at the top.

    Args:
        figure: Its traces name their panel by their axis: y, y2, y3, ...
        panels: Title, and height as a share of those of all.
    """
    gap = 0.055 * (len(panels) > 1)
    unit = (1 - gap * (len(panels) - 1)) / sum(share for _, share in panels)
    top = 1.0
    for number, (title, share) in enumerate(panels, start=1):
        bottom = max(0.0, top - share * unit)
        axis = {
            "title": {"text": title, "font": {"size": 13 if number == 1 else 12}, "standoff": 8},
            "domain": [bottom, top],
            "zeroline": False,
        }
        if number > 1:
            axis["nticks"] = 4
        figure.update_layout({f"yaxis{number if number > 1 else ''}": axis})
        top = bottom - gap
    figure.update_layout(
        xaxis={
            "title": {"text": "seconds since the campaign began", "font": {"size": 13}},
            "anchor": f"y{len(panels)}" if len(panels) > 1 else "y",
            "zeroline": False,
        }
    )
