"""How the samples of each arm are distributed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from android_bench.campaign.result import CampaignResult
from android_bench.records import Pairing
from android_bench.report.escape import escape_for_plot
from android_bench.report.figure_style import colours, empty_figure, shorten
from android_bench.report.heats import counted_samples, good_heats
from android_bench.report.wording import name_run
from android_bench.statistics.design import is_disturbed

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["samples_figure"]


def samples_figure(result: CampaignResult) -> tuple[go.Figure, float]:
    """Draw how the samples of each arm are distributed, with the medians of its blocks or heats.

    Only those that count: of undisturbed blocks or heats, without what turns discard.

    Returns:
        The figure, and the share of samples beyond its right edge (a long tail would press
        everything else against the left edge).
    """
    import plotly.graph_objects as go

    arms = {
        label: (
            np.concatenate(parts) / 1e6,
            [float(np.median(part)) / 1e6 for part in parts],
        )
        for label, parts in _samples_ns(result).items()
    }
    run = name_run(result.campaign.rules.pairing)
    figure = empty_figure(90 + 105 * max(1, len(arms)))
    if not arms:
        return figure, 0.0
    every = np.concatenate([samples for samples, _ in arms.values()])
    left, right = float(every.min()), float(np.quantile(every, 0.99))
    edges = np.linspace(left, right if right > left else left * 1.01, 81)
    height = 1 / len(arms)
    for number, (label, (samples, medians)) in enumerate(arms.items()):
        counts, _ = np.histogram(samples, edges)
        share = 100 * counts / len(samples)
        axis = "y" if number == 0 else f"y{number + 1}"
        name, colour = escape_for_plot(shorten(label)), colours(result)[label]
        figure.add_trace(
            go.Scatter(
                x=((edges[1:] + edges[:-1]) / 2).tolist(),
                y=share.tolist(),
                yaxis=axis,
                mode="lines",
                line={"color": colour, "shape": "hvh", "width": 1.5},
                fill="tozeroy",
                opacity=0.9,
                name=name,
                hovertemplate="%{x:.3f} ms: %{y:.2f} % of samples<extra></extra>",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=medians,
                y=[-0.12 * float(share.max())] * len(medians),
                yaxis=axis,
                mode="markers",
                marker={
                    "symbol": "line-ns-open",
                    "size": 9,
                    "color": colour,
                    "line": {"width": 1.4, "color": colour},
                },
                hovertemplate=f"{run} median %{{x:.3f}} ms<extra></extra>",
                showlegend=False,
                name=name,
            )
        )
        top = 1 - number * height
        layout = {
            "domain": [max(0.0, top - 0.86 * height), top],
            "showticklabels": False,
            "showgrid": False,
            "zeroline": False,
        }
        figure.update_layout({f"yaxis{number + 1 if number else ''}": layout})
    last = "y" if len(arms) == 1 else f"y{len(arms)}"
    figure.update_layout(
        xaxis={
            "title": {"text": "latency of one inference, ms", "font": {"size": 13}},
            "anchor": last,
            "range": [left - 0.02 * (edges[-1] - left), float(edges[-1])],
            "zeroline": False,
        }
    )
    return figure, float(np.mean(every > edges[-1]))


def _samples_ns(result: CampaignResult) -> dict[str, list[npt.NDArray[np.int64]]]:
    """Return label to the samples of each of its good blocks or heats; none without any."""
    found: dict[str, list[npt.NDArray[np.int64]]] = {label: [] for label in colours(result)}
    if result.campaign.rules.pairing is Pairing.TURNS:
        for heat in good_heats(result):
            for label, samples_ns in counted_samples(heat).items():
                found[label].append(samples_ns)
    else:
        for block in result.blocks:
            if not is_disturbed(block):
                found[block.label].append(block.run.samples_ns)
    whole = {label: [part for part in parts if len(part)] for label, parts in found.items()}
    return {label: parts for label, parts in whole.items() if parts}
