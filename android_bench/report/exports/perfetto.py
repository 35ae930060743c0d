"""A Perfetto trace, for ui.perfetto.dev and trace_processor: what ran when, and how the device was.

A track for blocks or heats, with what disturbed them; one for each process, with a slice a turn;
and counters for temperatures, frequencies and foreign load, as far as they could be read. Times
count from the campaign's beginning.

Source: the Perfetto documentation, "Synthetic TrackEvent", and its protos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from android_bench.campaign.result import CampaignResult
from android_bench.records import Block, HeatRecord, Pairing, Reading
from android_bench.report.conditions import Span, spans_of
from android_bench.report.exports._measures import require_one_campaign_each
from android_bench.report.exports._messages import make_messages
from android_bench.report.wording import flag_words

ENDING = ".perfetto-trace"

MESSAGES = {
    "Trace": [("packet", 1, "repeated TracePacket")],
    "TracePacket": [
        ("timestamp", 8, "uint64"),
        ("trusted_packet_sequence_id", 10, "uint32"),
        ("track_event", 11, "TrackEvent"),
        ("track_descriptor", 60, "TrackDescriptor"),
    ],
    "TrackDescriptor": [
        ("uuid", 1, "uint64"),
        ("name", 2, "string"),
        ("process", 3, "ProcessDescriptor"),
        ("parent_uuid", 5, "uint64"),
        ("counter", 8, "CounterDescriptor"),
    ],
    "ProcessDescriptor": [("pid", 1, "int32"), ("process_name", 6, "string")],
    "CounterDescriptor": [("unit_name", 6, "string")],
    "TrackEvent": [
        ("debug_annotations", 4, "repeated DebugAnnotation"),
        ("type", 9, "int32"),  # an enumeration there
        ("track_uuid", 11, "uint64"),
        ("categories", 22, "repeated string"),
        ("name", 23, "string"),
        ("double_counter_value", 44, "double"),
    ],
    "DebugAnnotation": [
        ("int_value", 4, "int64"),
        ("double_value", 5, "double"),
        ("string_value", 6, "string"),
        ("name", 10, "string"),
    ],
}
_BEGIN, _END, _COUNTER = 1, 2, 4  # TrackEvent.Type
_SEQUENCE = 1  # all packets are of one writer
_PROCESS_UUID = 1


def write(results: Sequence[CampaignResult]) -> dict[str, bytes]:
    """Return one file about one campaign.

    Raises:
        InputError: There are several campaigns: their clocks have nothing in common.
    """
    require_one_campaign_each(results, "perfetto")
    return {"": _Trace(results[0]).encode()}


class _Trace:
    """A trace in the making: its tracks by name, its packets."""

    def __init__(self, result: CampaignResult) -> None:
        self._result = result
        self._trace = make_messages("perfetto.protos", MESSAGES)["Trace"]()
        self._tracks: dict[str, int] = {}
        descriptor = self._packet().track_descriptor
        descriptor.uuid = _PROCESS_UUID
        descriptor.process.pid = 1
        descriptor.process.process_name = f"{result.campaign.name}, {result.device.model}"

    def encode(self) -> bytes:
        """Return the whole campaign."""
        in_turns = self._result.campaign.rules.pairing is Pairing.TURNS
        runs: Sequence[Block | HeatRecord] = self._result.heats if in_turns else self._result.blocks
        for span, run in zip(spans_of(self._result), runs, strict=True):
            self._add_run(span, run)
            self._add_reading(span, span.before)
            self._add_reading(span, span.after)
        encoded: bytes = self._trace.SerializeToString()
        return encoded

    def _add_run(self, span: Span, run: Block | HeatRecord) -> None:
        facts = {"disturbed by": flag_words(run.flags) or "nothing", "attempt": run.attempt}
        if isinstance(run, HeatRecord):
            self._add_slice("heats", f"heat {run.number}", span, span.before, span.after, facts)
            self._add_turns(span, run)
        else:
            facts |= {"round": run.round, "position": run.position, **_describe(run.run.samples_ns)}
            name = f"block {run.index}"
            self._add_slice(run.label, name, span, span.before, span.after, facts)

    def _add_turns(self, span: Span, heat: HeatRecord) -> None:
        turns = heat.turns
        for turn, child in enumerate(turns.turn_child):
            label = turns.children[child]
            samples = turns.samples_ns[turns.turn_first[turn] : turns.turn_first[turn + 1]]
            begin, end = (self._at(span, a[turn]) for a in (turns.turn_begin_ns, turns.turn_end_ns))
            self._add_edges(label, f"turn {turn}", begin, end, _describe(samples))
            if (khz := int(turns.turn_freq_khz[turn])) > 0:
                self._add_value("frequency in turns", "GHz", begin, khz / 1e6)

    def _add_slice(
        self,
        track: str,
        name: str,
        span: Span,
        before: Reading,
        after: Reading,
        facts: Mapping[str, Any],
    ) -> None:
        begin, end = self._at(span, before.at_ns), self._at(span, after.at_ns)
        self._add_edges(track, name, begin, end, facts)

    def _add_edges(
        self, track: str, name: str, begin_ns: int, end_ns: int, facts: Mapping[str, Any]
    ) -> None:
        uuid = self._track(track)
        begin = self._packet(begin_ns).track_event
        begin.type, begin.track_uuid, begin.name = _BEGIN, uuid, name
        begin.categories.append("benchmark")
        for key, value in facts.items():
            annotation = begin.debug_annotations.add(name=key)
            kind = {int: "int_value", float: "double_value"}.get(type(value), "string_value")
            setattr(annotation, kind, value)
        end = self._packet(max(begin_ns, end_ns)).track_event
        end.type, end.track_uuid = _END, uuid

    def _add_reading(self, span: Span, reading: Reading) -> None:
        for name, unit, value in _values(reading):
            self._add_value(name, unit, self._at(span, reading.at_ns), value)

    def _add_value(self, name: str, unit: str, at_ns: int, value: float) -> None:
        uuid = self._track(name, unit)  # before its first event
        event = self._packet(at_ns).track_event
        event.type, event.track_uuid, event.double_counter_value = _COUNTER, uuid, value

    def _track(self, name: str, unit: str | None = None) -> int:
        """Return the number of a track, which is described when it is first named."""
        if name not in self._tracks:
            self._tracks[name] = _PROCESS_UUID + 1 + len(self._tracks)
            descriptor = self._packet().track_descriptor
            descriptor.uuid, descriptor.parent_uuid = self._tracks[name], _PROCESS_UUID
            descriptor.name = name
            if unit is not None:
                descriptor.counter.unit_name = unit
        return self._tracks[name]

    def _packet(self, at_ns: int | None = None) -> Any:
        packet = self._trace.packet.add(trusted_packet_sequence_id=_SEQUENCE)
        if at_ns is not None:
            packet.timestamp = at_ns
        return packet

    def _at(self, span: Span, at_ns: int) -> int:
        """Return a moment of the device's clock as ns since the campaign began."""
        return max(0, round(1e9 * span.seconds_at(int(at_ns))))


def _describe(samples_ns: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, Any]:
    if not len(samples_ns):
        return {"inferences": 0}
    return {
        "inferences": len(samples_ns),
        "median, ms": float(np.median(samples_ns)) / 1e6,
        "fastest, ms": int(samples_ns.min()) / 1e6,
    }


def _values(reading: Reading) -> Iterator[tuple[str, str, float]]:
    """Name, unit and value of what could be read."""
    rows: list[tuple[str, str, float | int | None, Callable[[float], float]]] = []
    rows += [
        (f"temperature, {zone}", "°C", mc, _thousandth) for zone, mc in reading.temp_mc.items()
    ]
    rows += [(f"frequency, CPU {c}", "GHz", f, _millionth) for c, f in reading.freq_khz.items()]
    rows += [
        (f"frequency cap, CPU {c}", "GHz", f, _millionth) for c, f in reading.freq_cap_khz.items()
    ]
    rows.append(("other processes", "%", reading.other_busy_fraction, _hundredfold))
    rows.append(("stolen by the hypervisor", "%", reading.steal_fraction, _hundredfold))
    for name, unit, value, convert in rows:
        if value is not None:
            yield name, unit, convert(value)


def _thousandth(value: float) -> float:
    return value / 1e3


def _millionth(value: float) -> float:
    return value / 1e6


def _hundredfold(value: float) -> float:
    return 100 * value
