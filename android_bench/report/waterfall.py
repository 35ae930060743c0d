"""From one file's instructions to another's, operator by operator: a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from android_bench.report.arm_section import CostDifference
from android_bench.report.escape import escape_for_plot
from android_bench.report.figure_style import VERDICT_COLOURS, empty_figure, shorten
from android_bench.statistics.comparison import Verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["waterfall_figure"]

_ROW_PIXELS = 24


def waterfall_figure(cost: CostDifference) -> go.Figure:
    """Return the figure: both totals, and between them what each operator adds or saves."""
    import plotly.graph_objects as go

    steps = cost.steps
    names = [cost.before, *(name for name, _ in steps), cost.after]
    shown = [escape_for_plot(shorten(name)) for name in names]
    figure = empty_figure(_ROW_PIXELS * len(names) + 90)
    figure.add_trace(
        go.Waterfall(
            orientation="h",
            # Numbers, as two operators may have one name.
            y=list(range(len(names))),
            x=[cost.total_before, *(number for _, number in steps), 0],
            measure=["absolute", *("relative" for _ in steps), "total"],
            customdata=shown,
            hovertemplate="%{customdata}<br>%{delta:+,} instructions<extra></extra>",
            increasing={"marker": {"color": VERDICT_COLOURS[Verdict.SLOWER]}},
            decreasing={"marker": {"color": VERDICT_COLOURS[Verdict.FASTER]}},
            totals={"marker": {"color": VERDICT_COLOURS[Verdict.NOT_RESOLVED]}},
        )
    )
    reached = [cost.total_before]
    for _, number in steps:
        reached.append(reached[-1] + number)
    low, high = min(reached), max(reached)
    margin = max((high - low) * 0.1, 0.001 * high)
    # The axis does not begin at 0: what is to be seen are the differences.
    figure.update_xaxes(title="instructions", range=[low - margin, high + margin])
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=shown, autorange="reversed", automargin=True
    )
    figure.update_layout(showlegend=False)
    return figure
