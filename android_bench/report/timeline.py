"""Every block in time order, and beneath it what the device was like."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from android_bench.campaign.result import CampaignResult
from android_bench.records import Block, Reading
from android_bench.report.escape import escape_for_plot
from android_bench.report.figure_style import colours, empty_figure, shorten
from android_bench.report.wording import celsius, flag_words, gigahertz, milliseconds
from android_bench.statistics.design import is_disturbed

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["blocks_figure", "has_clipped", "track_names"]

SYMBOLS = ("circle", "square", "diamond", "pentagon", "hexagon", "star")
TRACK_COLOUR = "#e11d48"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    """Something read at both edges of every block, drawn below the latencies."""

    name: str
    read: Callable[[Block, Reading], float | None]
    show: Callable[[float], str]


def _kilo(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _ran_khz(block: Block, reading: Reading) -> float | None:
    known = (reading.freq_khz.get(int(cpu)) for cpu in np.unique(block.run.cpus))
    found = [khz for khz in known if khz is not None]
    return float(np.mean(found)) / 1e6 if found else None


def _load(_: Block, reading: Reading) -> float | None:
    shares = (reading.other_busy_fraction, reading.steal_fraction)
    known = [share for share in shares if share is not None]
    return 100 * sum(known) if known else None


_TRACKS = (
    _Track(
        name="hottest, °C",
        read=lambda _, reading: _kilo(reading.hottest_mc),
        show=lambda value: celsius(round(value * 1000)),
    ),
    _Track(name="cores, GHz", read=_ran_khz, show=lambda value: gigahertz(value * 1e6)),
    _Track(name="others, %", read=_load, show=lambda value: f"other load {value:.1f} %"),
)


def _readable(result: CampaignResult) -> list[_Track]:
    return [
        track
        for track in _TRACKS
        if any(
            track.read(b, r) is not None for b in result.blocks for r in (b.run.before, b.run.after)
        )
    ]


def track_names(result: CampaignResult) -> tuple[list[str], list[str]]:
    """Return which conditions could be read on the device, and which could not."""
    there = [track.name.partition(",")[0] for track in _readable(result)]
    every = [track.name.partition(",")[0] for track in _TRACKS]
    words = {
        "hottest": "temperature of the hottest zone",
        "cores": "frequency of the cores that ran",
        "others": "load of other processes",
    }
    return [words[n] for n in there], [words[n] for n in every if n not in there]


def _seconds(result: CampaignResult, block: Block) -> float:
    begin = datetime.datetime.fromisoformat(result.campaign.started_utc)
    return (datetime.datetime.fromisoformat(block.started_utc) - begin).total_seconds()


def blocks_figure(result: CampaignResult) -> go.Figure:
    """Draw the median of every block over time, with what the device was like beneath it.

    Disturbed blocks are hollow; blocks without samples have no mark and are in the table.
    """
    import plotly.graph_objects as go

    tracks = _readable(result)
    figure = empty_figure(330 + 105 * len(tracks))
    shares = np.array([2.6] + [1.0] * len(tracks))
    gap = 0.055 if tracks else 0.0
    heights = shares / shares.sum() * (1 - gap * len(tracks))
    tops = [1 - float(heights[:i].sum()) - gap * i for i in range(len(shares))]
    low, high = _shown_range_ns(result)
    for place, (label, colour) in enumerate(colours(result).items()):
        mine = [b for b in result.blocks if b.label == label and len(b.run.samples_ns)]
        symbol = SYMBOLS[place % len(SYMBOLS)]
        figure.add_trace(
            go.Scatter(
                x=[_seconds(result, b) for b in mine],
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
    figure.update_layout(
        yaxis={
            "title": {"text": "block median, ms", "font": {"size": 13}, "standoff": 8},
            "domain": [max(0.0, tops[0] - heights[0]), 1],
        }
    )
    for number, track in enumerate(tracks, start=1):
        _add_track(figure, result, track, number + 1)
        low = max(0.0, tops[number] - float(heights[number]))
        axis = {
            "title": {"text": track.name, "font": {"size": 12}, "standoff": 8},
            "domain": [low, tops[number]],
            "nticks": 4,
        }
        figure.update_layout({f"yaxis{number + 1}": axis})
    last = f"y{len(tracks) + 1}" if tracks else "y"
    figure.update_layout(
        xaxis={
            "title": {"text": "seconds since the campaign began", "font": {"size": 13}},
            "anchor": last,
            "zeroline": False,
        }
    )
    figure.update_yaxes(zeroline=False)
    return figure


def _shown_range_ns(result: CampaignResult) -> tuple[float, float]:
    """Return what the undisturbed blocks need: one disturbed block must not flatten the rest."""
    every = [b for b in result.blocks if len(b.run.samples_ns)]
    medians = [b.median_ns for b in every if not is_disturbed(b)] or [b.median_ns for b in every]
    low, high = min(medians, default=0.0), max(medians, default=1.0)
    margin = 0.3 * max(high - low, 0.01 * high)
    return low - margin, high + margin


def has_clipped(result: CampaignResult) -> bool:
    """Tell whether a disturbed block lies beyond the edge of the figure."""
    low, high = _shown_range_ns(result)
    return any(not low <= b.median_ns <= high for b in result.blocks if len(b.run.samples_ns))


def _symbol(block: Block, own: str, low: float, high: float) -> str:
    if block.median_ns > high:
        return "triangle-up-open"
    if block.median_ns < low:
        return "triangle-down-open"
    return f"{own}-open" if is_disturbed(block) else own


def _add_track(figure: go.Figure, result: CampaignResult, track: _Track, axis: int) -> None:
    import plotly.graph_objects as go

    x: list[float] = []
    y: list[float | None] = []
    for block in result.blocks:
        begin = _seconds(result, block)
        end = begin + (block.run.after.at_ns - block.run.before.at_ns) / 1e9
        for at, reading in ((begin, block.run.before), (end, block.run.after)):
            x.append(at)
            y.append(track.read(block, reading))
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            yaxis=f"y{axis}",
            mode="lines+markers",
            line={"color": TRACK_COLOUR, "width": 1.2},
            marker={"size": 3.5, "color": TRACK_COLOUR},
            hovertext=["" if value is None else track.show(value) for value in y],
            hoverinfo="text",
            name=track.name,
            showlegend=False,
        )
    )


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
