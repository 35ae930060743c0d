"""The lines of a heat, read into a `HeatResult`. docs/harness-protocol.md describes them."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
from msgspec import Meta, Struct

from android_bench.harness import wire
from android_bench.harness.lines import LineReader
from android_bench.harness.process import Exit
from android_bench.harness.result import HarnessResult
from android_bench.harness.wire import Status
from android_bench.records import Flag, Reading
from android_bench.records.turns import TurnSamples
from pfd_models.errors import DeviceError, InputError
from pfd_models.operating_system import LINUX_SIGKILL
from pfd_models.plain_data import decode_json, from_plain

__all__ = ["HeatReader", "HeatResult"]

Line = Mapping[str, Any]
T = TypeVar("T")
Child = Annotated[int, Meta(ge=0, le=63)]

_MEND = "build the harness again, and let nothing else write to its standard output"


class Turns(Struct):
    """Whole turns, from number `turn` on, by column."""

    turn: wire.Count
    child: tuple[Child, ...]
    first: tuple[wire.Count, ...]
    begin_ns: tuple[wire.Nanoseconds, ...]
    end_ns: tuple[wire.Nanoseconds, ...]
    freq_khz: tuple[Annotated[int, Meta(ge=-1, le=10**9)], ...]


class HeatEnd(wire.End):
    """The last line of a heat, the supervisor's."""

    child: Child | None = None
    memory_full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatResult:
    """One heat, as far as it came.

    Attributes:
        status: How it ended.
        stage: Where the child that ended it was then, or the one that held the token.
        message: Why, a line; empty when all went well.
        child: Number of the child that ended it; None when none did.
        memory_full: Whether it ended before its time because no cycle more would have fitted.
        turns: The whole turns with their samples.
        children: What each child told of itself, in order. Their samples are in `turns`, and
            their readings are the heat's. Of a heat that one child ended, the others were killed.
        before: Reading before the first turn; tells only the time where it did not come so far.
        after: Reading after the last turn; likewise.
        stderr: The end of what the engines wrote there.
    """

    status: Status
    stage: str
    message: str
    child: int | None
    memory_full: bool
    turns: TurnSamples
    children: tuple[HarnessResult, ...]
    before: Reading
    after: Reading
    stderr: str

    def flags(self) -> frozenset[Flag]:
        """Return what the end of this heat tells about it; readings are judged elsewhere."""
        return self.children[self.child or 0].flags()


class HeatReader:
    """Takes the lines of one heat, in order, and says what it was.

    They come when it is over, from one process that an engine's own output never reaches. So a
    line that cannot be read is forgiven only at the very end, where that process was killed.
    """

    def __init__(
        self,
        version: str,
        labels: Sequence[str],
        *,
        bursts: Sequence[int],
        order: Sequence[int],
        on_line: Callable[[Line], None] | None = None,
    ) -> None:
        """Begin a heat.

        Args:
            version: Of the harness.
            labels: Of the children.
            bursts: Inferences in a turn of each child.
            order: Of the children's turns, repeated.
            on_line: Hears every line as plain data.
        """
        self._labels = tuple(labels)
        self._order = np.array(order, np.int16)
        self._in_cycle = np.cumsum([0, *(bursts[child] for child in order)])
        self._on_line = on_line
        self._supervisor = LineReader(version)
        self._children = [LineReader(version) for _ in labels]
        self._turns: list[tuple[int, int, int, int]] = []  # child, begin, end, frequency
        self._samples: list[int] = []
        self._cpus: list[int] = []
        self._end: HeatEnd | None = None
        self._broken: DeviceError | None = None

    def feed(self, text: str) -> None:
        """Take one line.

        Raises:
            DeviceError: The line before is no JSON, or this one contradicts what came before.
        """
        if not text.strip():
            return
        if self._broken is not None:
            raise self._broken
        if len(text) > wire.MAX_LINE_BYTES:
            raise DeviceError(f"the harness wrote a line of {len(text)} characters: {_MEND}")
        try:
            plain = decode_json(dict[str, Any], text, what=f"the harness's line {text[:80]!r}")
        except InputError as error:
            self._broken = DeviceError(f"{error}: {_MEND}")
            return
        self._take(plain, text)
        if self._on_line is not None:
            self._on_line(plain)

    def _take(self, plain: dict[str, Any], text: str) -> None:
        kind = plain.get("type")
        if kind == "turns":
            self._take_turns(_typed(Turns, plain))
        elif kind == "samples":
            self._take_samples(_typed(wire.Samples, plain))
        elif kind == "end":
            self._end = _typed(HeatEnd, plain)
        elif kind == "reading":
            for reader in (self._supervisor, *self._children):
                reader.feed(text)
        elif "child" in plain:
            number = from_plain(Child, plain["child"], what="a child's number", error=DeviceError)
            self._require_child(number)
            self._children[number].feed(text)
        else:
            self._supervisor.feed(text)

    def _take_turns(self, line: Turns) -> None:
        count, here = len(line.child), len(self._turns)
        columns = (line.first, line.begin_ns, line.end_ns, line.freq_khz)
        first = tuple(self._first_sample(here + i) for i in range(count))
        if line.turn != here or any(len(c) != count for c in columns) or line.first != first:
            self._refuse(f"turns from {line.turn} on, and {here} are here")
        if self._first_sample(here + count) > wire.MAX_SAMPLES:
            self._refuse(f"more than {wire.MAX_SAMPLES} samples")
        self._turns += zip(line.child, line.begin_ns, line.end_ns, line.freq_khz, strict=True)

    def _take_samples(self, line: wire.Samples) -> None:
        here = len(self._samples)
        if line.first != here or len(line.ns) != len(line.cpu):
            self._refuse(f"samples from {line.first} on, and {here} are here")
        self._samples += line.ns
        self._cpus += line.cpu
        if len(self._samples) > self._first_sample(len(self._turns)):
            self._refuse(f"more samples than {len(self._turns)} turns have")

    def _first_sample(self, turn: int) -> int:
        """Return the number of the first sample of a turn."""
        cycles, place = divmod(turn, len(self._order))
        return int(cycles * self._in_cycle[-1] + self._in_cycle[place])

    def _require_child(self, number: int) -> None:
        if number >= len(self._children):
            self._refuse(f"something of child {number}, and there are {len(self._children)}")

    def _refuse(self, what: str) -> None:
        raise DeviceError(f"the harness wrote {what}: {_MEND}")

    def result(self, ended: Exit) -> HeatResult:
        """Return what the heat was, after its last line.

        Args:
            ended: How its process ended.

        Raises:
            DeviceError: The heat contradicts itself.
        """
        end = self._end
        if end is None:
            lost = self._supervisor.result(ended)
            end = HeatEnd(status=lost.status, stage=lost.stage, message=lost.message)
        self._supervisor.feed(_end_line(end))
        if end.child is not None:
            self._require_child(end.child)
        heat = self._supervisor.result(ended)
        return HeatResult(
            status=end.status,
            stage=end.stage,
            message=end.message,
            child=end.child,
            memory_full=end.memory_full,
            turns=self._turn_samples(),
            children=tuple(self._child(number, end, ended) for number in range(len(self._labels))),
            before=heat.run.before,
            after=heat.run.after,
            stderr=ended.stderr,
        )

    def _turn_samples(self) -> TurnSamples:
        # Where the harness was killed while it wrote, the last samples are missing.
        firsts = [self._first_sample(turn) for turn in range(len(self._turns) + 1)]
        count = bisect.bisect_right(firsts, len(self._samples)) - 1
        child, begin, end, khz = np.array(self._turns[:count], np.int64).reshape(count, 4).T
        order = np.resize(self._order, count)
        if (child != order).any():
            at = int((child != order).argmax())
            self._refuse(f"turn {at} of child {child[at]}, and it was that of child {order[at]}")
        if (begin > end).any() or (end[:-1] > begin[1:]).any():
            self._refuse("turns that overlap")
        return TurnSamples(
            children=self._labels,
            turn_child=child.astype(np.int16),
            turn_first=np.array(firsts[: count + 1], np.int64),
            turn_begin_ns=begin.copy(),
            turn_end_ns=end.copy(),
            turn_freq_khz=khz.astype(np.int32),
            samples_ns=np.array(self._samples[: firsts[count]], np.int64),
            cpus=np.array(self._cpus[: firsts[count]], np.int16),
        )

    def _child(self, number: int, end: HeatEnd, ended: Exit) -> HarnessResult:
        """Return what one child told; it ends as the heat does, or was killed for another."""
        changes: dict[str, Any] = {}
        if end.child not in (None, number):
            message = f"{self._labels[end.child or 0]} ended the heat: {end.message}"
            changes = {"status": Status.KILLED.value, "signal": LINUX_SIGKILL, "message": message}
        self._children[number].feed(_end_line(end, **changes))
        return self._children[number].result(ended)


def _end_line(end: HeatEnd, **changes: Any) -> str:
    """Return the last line of one process of the heat."""
    fields: dict[str, Any] = {"status": end.status.value, "stage": end.stage}
    fields |= {"message": end.message, "signal": end.signal, "at_ns": end.at_ns}
    return json.dumps({"type": "end"} | fields | changes)


def _typed(kind: type[T], plain: Line) -> T:
    return from_plain(kind, plain, what=f"the harness's {plain['type']!r} line", error=DeviceError)
