"""What the device was like at both edges of every block or heat, to draw beneath a timeline."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from android_bench.campaign.result import CampaignResult
from android_bench.records import Block, HeatRecord, Pairing, Reading
from android_bench.report.wording import celsius, gigahertz

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Span", "Track", "add_track", "ran_khz", "readable_tracks", "spans_of", "track_names"]

TRACK_COLOUR = "#e11d48"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """What ran between two readings: a block or a heat.

    Attributes:
        begin_s: When it was started, since the campaign began.
        before: Reading at its beginning.
        after: Reading at its end.
        cpus: CPU that each sample ended on, -1 when unknown.
    """

    begin_s: float
    before: Reading
    after: Reading
    cpus: npt.NDArray[np.int16]

    @classmethod
    def of_block(cls, result: CampaignResult, block: Block) -> Span:
        """Return the span of a block."""
        begin_s, run = _seconds_since(result, block.started_utc), block.run
        return cls(begin_s=begin_s, before=run.before, after=run.after, cpus=run.cpus)

    @classmethod
    def of_heat(cls, result: CampaignResult, heat: HeatRecord) -> Span:
        """Return the span of a heat."""
        begin_s, cpus = _seconds_since(result, heat.started_utc), heat.turns.cpus
        return cls(begin_s=begin_s, before=heat.before, after=heat.after, cpus=cpus)

    @property
    def end_s(self) -> float:
        """When it ended, since the campaign began."""
        return self.seconds_at(self.after.at_ns)

    def seconds_at(self, at_ns: float) -> float:
        """Return when a moment was, since the campaign began.

        The device's clock counts from its own boot, so that every block or heat ties it to the
        host's anew: its first reading is taken as its start. What it took to start the processes
        lies between the two, so that all of it is drawn earlier by so much.

        Args:
            at_ns: CLOCK_MONOTONIC of the device.
        """
        return self.begin_s + (at_ns - self.before.at_ns) / 1e9


def spans_of(result: CampaignResult) -> list[Span]:
    """Return the blocks or the heats of a campaign, in order of running."""
    if result.campaign.rules.pairing is Pairing.TURNS:
        return [Span.of_heat(result, heat) for heat in result.heats]
    return [Span.of_block(result, block) for block in result.blocks]


def _seconds_since(result: CampaignResult, started_utc: str) -> float:
    begin = datetime.datetime.fromisoformat(result.campaign.started_utc)
    return (datetime.datetime.fromisoformat(started_utc) - begin).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Something read at both edges of every block or heat.

    Attributes:
        name: Of its axis.
        words: What it is, for the reader.
        read: Gives its value, where it could be read.
        show: Gives the value with its unit.
    """

    name: str
    words: str
    read: Callable[[Span, Reading], float | None]
    show: Callable[[float], str]


def ran_khz(cpus: Iterable[int], reading: Reading) -> float | None:
    """Return the mean frequency of the cores that ran; None where none is known."""
    known = (reading.freq_khz.get(cpu) for cpu in {int(cpu) for cpu in cpus})
    found = [khz for khz in known if khz is not None]
    return float(np.mean(found)) if found else None


def _hottest_celsius(_: Span, reading: Reading) -> float | None:
    return None if reading.hottest_mc is None else reading.hottest_mc / 1000


def _ran_gigahertz(span: Span, reading: Reading) -> float | None:
    khz = ran_khz(np.unique(span.cpus), reading)
    return None if khz is None else khz / 1e6


def _load_percent(_: Span, reading: Reading) -> float | None:
    shares = (reading.other_busy_fraction, reading.steal_fraction)
    known = [share for share in shares if share is not None]
    return 100 * sum(known) if known else None


_TRACKS = (
    Track(
        name="hottest, °C",
        words="temperature of the hottest zone",
        read=_hottest_celsius,
        show=lambda value: celsius(round(value * 1000)),
    ),
    Track(
        name="cores, GHz",
        words="frequency of the cores that ran",
        read=_ran_gigahertz,
        show=lambda value: gigahertz(value * 1e6),
    ),
    Track(
        name="others, %",
        words="load of other processes",
        read=_load_percent,
        show=lambda value: f"other load {value:.1f} %",
    ),
)


def readable_tracks(spans: Sequence[Span]) -> list[Track]:
    """Return the tracks that have a value somewhere."""
    return [
        track
        for track in _TRACKS
        if any(track.read(span, edge) is not None for span in spans for edge in _edges(span))
    ]


def track_names(spans: Sequence[Span]) -> tuple[list[str], list[str]]:
    """Return which conditions could be read on the device, and which could not."""
    there = readable_tracks(spans)
    return [t.words for t in there], [t.words for t in _TRACKS if t not in there]


def _edges(span: Span) -> tuple[Reading, Reading]:
    return span.before, span.after


def add_track(figure: go.Figure, spans: Sequence[Span], track: Track, axis: int) -> None:
    """Draw a track into the panel of an axis."""
    import plotly.graph_objects as go

    x = [at for span in spans for at in (span.begin_s, span.end_s)]
    y = [track.read(span, edge) for span in spans for edge in _edges(span)]
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            yaxis=f"y{axis}",
            mode="lines+markers",
            connectgaps=True,  # load is known from the second reading on
            line={"color": TRACK_COLOUR, "width": 1.2},
            marker={"size": 3.5, "color": TRACK_COLOUR},
            hovertext=["" if value is None else track.show(value) for value in y],
            hoverinfo="text",
            name=track.name,
            showlegend=False,
        )
    )
