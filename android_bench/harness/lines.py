"""The harness's lines, read into a `HarnessResult`. docs/harness-protocol.md describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from android_bench.harness import wire
from android_bench.harness.process import Exit
from android_bench.harness.result import (
    HarnessResult,
    LoadedFile,
    OutputDistance,
    Task,
    Verification,
)
from android_bench.harness.wire import Status
from android_bench.records import OperatorTime, Reading, TimedRun
from android_bench.records.reading import CpuTicks, name_zones, share_of_load
from export.sets.manifest import TensorSpec
from pfd_models.errors import DeviceError, InputError
from pfd_models.plain_data import decode_json, from_plain

__all__ = ["LineReader"]

Line = Mapping[str, Any]

_MEND = "build the harness again, and let nothing else write to its standard output"


class LineReader:
    """Takes the lines of one run, in order, and says what the run was.

    A line that is no JSON is forgiven only where the engine was cut off in the middle of it:
    directly before the supervisor's last words, or at the very end.
    """

    def __init__(self, version: str, on_line: Callable[[Line], None] | None = None) -> None:
        """Begin a run.

        Args:
            version: Of the harness; a run that broke off early may not have told it.
            on_line: Hears every line as plain data.
        """
        self._version = version
        self._on_line = on_line
        self._said: dict[str, Any] = {}  # kind to the last line of it
        self._samples: list[int] = []
        self._cpus: list[int] = []
        self._readings: dict[str, wire.ReadingLine] = {}
        self._verifications: list[Verification] = []
        self._memory: list[wire.Memory] = []
        self._inferences: list[tuple[wire.OperatorLine, ...]] = []
        self._broken = ""

    def feed(self, text: str) -> None:
        """Take one line.

        Raises:
            DeviceError: It is no JSON, or not what the protocol allows here.
        """
        if not text.strip():
            return
        plain = self._parse(text)
        if plain is None:
            return
        kind = plain["type"]
        if self._broken and kind not in ("samples", "end"):
            self._refuse(self._broken)
        if kind in wire.KINDS:
            what = f"the harness's {kind!r} line"
            self._take(kind, from_plain(wire.KINDS[kind], plain, what=what, error=DeviceError))
        if self._on_line is not None:
            self._on_line(plain)

    def _parse(self, text: str) -> Line | None:
        if len(text) > wire.MAX_LINE_BYTES:
            raise DeviceError(f"the harness wrote a line of {len(text)} characters: {_MEND}")
        try:
            plain = decode_json(dict[str, Any], text, what="a line")
        except InputError:
            plain = {}
        if isinstance(plain.get("type"), str):
            return plain
        if self._broken:
            self._refuse(self._broken)
        self._broken = text
        return None

    def _refuse(self, text: str) -> None:
        raise DeviceError(
            f"the harness wrote {text[:80]!r}, which is no line of its protocol: {_MEND}"
        )

    def _take(self, kind: str, line: Any) -> None:
        self._said[kind] = line
        if isinstance(line, wire.Samples):
            self._take_samples(line)
        elif isinstance(line, wire.ReadingLine):
            self._readings[line.edge] = line
        elif isinstance(line, wire.Verified):
            self._verifications.append(_verification(line))
        elif isinstance(line, wire.Memory):
            self._memory.append(line)
        elif isinstance(line, wire.Operators):
            self._inferences.append(line.operators)

    def _take_samples(self, line: wire.Samples) -> None:
        here = len(self._samples)
        if line.first != here or len(line.ns) != len(line.cpu):
            raise DeviceError(
                f"the harness's samples go on at {line.first} with {len(line.ns)} durations and "
                f"{len(line.cpu)} CPUs, and {here} are here: {_MEND}"
            )
        if here + len(line.ns) > wire.MAX_SAMPLES:
            raise DeviceError(
                f"the harness wrote more than {wire.MAX_SAMPLES} samples: give a shorter schedule"
            )
        self._samples += line.ns
        self._cpus += line.cpu

    def result(self, ended: Exit) -> HarnessResult:
        """Return what the run was, after its last line.

        Args:
            ended: How its process ended.

        Raises:
            DeviceError: A line in the middle was no JSON, or the run contradicts itself.
        """
        end = self._said.get("end") or self._lost(ended)
        cut_off = (Status.CRASHED, Status.TIMEOUT, Status.KILLED, Status.LOST)
        if self._broken and end.status not in cut_off:
            self._refuse(self._broken)
        opened, loaded = self._said.get("opened"), self._said.get("loaded")
        threads, files = self._said.get("threads"), self._said.get("files")
        try:
            run = self._run(end)
        except InputError as error:  # each line was right by itself
            raise DeviceError(f"the harness contradicts itself: {error}; {_MEND}") from error
        return HarnessResult(
            status=end.status,
            stage=end.stage,
            message=end.message,
            signal=end.signal,
            run=run,
            engine=opened.engine if opened else "",
            engine_version=opened.engine_version if opened else "",
            inputs=_tensors(loaded.inputs if loaded else ()),
            outputs=_tensors(loaded.outputs if loaded else ()),
            open_ns=opened.open_ns if opened else None,
            tasks=tuple(
                Task(name=task.name, cpus_allowed=int(task.cpus_allowed, 16))
                for task in (threads.tasks if threads else ())
            ),
            verifications=tuple(self._verifications),
            vm_rss_kib={line.stage: line.vm_rss_kib for line in self._memory},
            operators=_operators(self._inferences),
            files=tuple(
                LoadedFile(name=file.name, base=file.base, end=file.end)
                for file in (files.files if files else ())
            ),
            stderr=ended.stderr,
        )

    def _run(self, end: wire.End) -> TimedRun:
        hello, loaded = self._said.get("hello"), self._said.get("loaded")
        first, warmed = self._said.get("first"), self._said.get("warmed")
        began_ns = hello.at_ns if hello else 0
        line_before, line_after = (self._readings.get(edge) for edge in ("before", "after"))
        before = Reading(at_ns=began_ns) if line_before is None else _reading(line_before, None)
        if line_after is None:
            after = Reading(at_ns=max(before.at_ns, end.at_ns or 0))
        else:
            after = _reading(line_after, line_before)
        peaks = [line.vm_hwm_kib for line in self._memory if line.vm_hwm_kib is not None]
        return TimedRun(
            samples_ns=np.array(self._samples, np.int64),
            cpus=np.array(self._cpus, np.int16),
            load_ns=loaded.load_ns or None if loaded else None,
            first_inference_ns=first.first_inference_ns or None if first else None,
            warmup_inferences=warmed.inferences if warmed else 0,
            vm_hwm_kib=max(peaks, default=None),
            before=before,
            after=after,
            handicap_ppm=hello.handicap_ppm if hello else 0,
            harness_version=self._version,
        )

    def _lost(self, ended: Exit) -> wire.End:
        if ended.status is None:
            status, why = Status.TIMEOUT, "the harness was silent for too long and was killed"
        else:
            how = f"signal {-ended.status}" if ended.status < 0 else f"status {ended.status}"
            last = [line for line in ended.stderr.splitlines() if line.strip()]
            hint = f"; its last words: {last[-1][:200]}" if last and not self._said else ""
            status, why = Status.LOST, f"the harness ended with {how} and no last line{hint}"
        stage = "start" if not self._said else "unknown"
        return wire.End(status=status, stage=stage, message=why)


def _verification(line: wire.Verified) -> Verification:
    return Verification(
        when=line.when,
        samples=line.samples,
        limit=line.limit,
        passed=line.passed,
        outputs=tuple(
            OutputDistance(
                name=output.name,
                relative_linf=_or_infinite(output.relative_linf),
                max_expected=_or_infinite(output.max_expected),
                not_finite=output.not_finite,
            )
            for output in line.outputs
        ),
    )


def _or_infinite(number: float | None) -> float:
    return float("inf") if number is None else number  # JSON has no infinity


def _tensors(lines: Sequence[wire.Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=t.name, shape=t.shape, dtype=t.dtype) for t in lines)


def _reading(line: wire.ReadingLine, since: wire.ReadingLine | None) -> Reading:
    """Build a reading; its load is that of the time since an earlier one."""
    steal, busy = share_of_load(_ticks(since) if since else None, _ticks(line))
    return Reading(
        at_ns=line.at_ns,
        cpu=line.cpu if line.cpu >= 0 else None,
        freq_khz=dict(line.freq_khz),
        freq_cap_khz=dict(line.freq_cap_khz),
        temp_mc=name_zones(line.temp_mc),
        online_cpus=tuple(sorted(set(line.online_cpus))),
        load_1min=line.load_1min,
        steal_fraction=steal,
        other_busy_fraction=busy,
        asleep_ns=line.boottime_ns - line.at_ns,
    )


def _ticks(line: wire.ReadingLine) -> CpuTicks | None:
    own = line.own_cpu_ns * line.ticks_per_second / 1e9
    return CpuTicks.of_stat(line.cpu_ticks, own=own)


def _operators(inferences: list[tuple[wire.OperatorLine, ...]]) -> tuple[OperatorTime, ...]:
    """Join the operators of all profiled inferences by their place.

    Raises:
        DeviceError: Two inferences ran different operators.
    """
    if not inferences:
        return ()
    names = [[operator.name for operator in operators] for operators in inferences]
    if any(n != names[0] for n in names[1:]):
        raise DeviceError(
            "two inferences ran different operators, so their times cannot be joined: "
            "the engine has not settled, profile again with a longer warm-up"
        )
    return tuple(
        OperatorTime(
            name=same[0].name or "(unnamed)",
            kind=same[0].kind,
            delegate=same[0].delegate,
            samples_ns=tuple(operator.ns for operator in same),
        )
        for same in zip(*inferences, strict=True)
    )
