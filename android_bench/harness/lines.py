"""The harness's lines, read into a `HarnessResult`. docs/harness-protocol.md describes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from android_bench.harness.process import Exit
from android_bench.harness.result import (
    HarnessResult,
    OutputDistance,
    Status,
    Task,
    Verification,
)
from android_bench.records import OperatorTime, Reading
from export.sets.manifest import TensorSpec
from pfd_models.errors import DeviceError

__all__ = ["LineReader"]

Line = Mapping[str, Any]

SLEPT_NS = 1_000_000
"""CLOCK_BOOTTIME runs on while a device sleeps, CLOCK_MONOTONIC does not."""


class LineReader:
    """Takes the lines of one run, in order, and says what the run was.

    A line that is no JSON is forgiven only where the engine was cut off in the middle of it:
    directly before the supervisor's last words, or at the very end.
    """

    def __init__(self, on_line: Callable[[Line], None] | None = None) -> None:
        self._on_line = on_line
        self._facts: dict[str, Any] = {}
        self._samples: list[int] = []
        self._cpus: list[int] = []
        self._readings: dict[str, Line] = {}
        self._verifications: list[Verification] = []
        self._memory: dict[str, dict[str, int | None]] = {"rss": {}, "hwm": {}}
        self._inferences: list[list[Line]] = []
        self._tasks: tuple[Task, ...] = ()
        self._end: Line | None = None
        self._broken = ""

    def feed(self, text: str) -> None:
        """Take one line.

        Raises:
            DeviceError: It is no JSON, or not what the protocol allows here.
        """
        if not text.strip():
            return
        line = self._parse(text)
        if line is None:
            return
        if self._broken and line["type"] not in ("samples", "end"):
            self._refuse(self._broken)
        try:
            self._take(line)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DeviceError(
                f"the harness wrote a {line['type']!r} line that cannot be read ({error!r}): "
                "build the harness again"
            ) from error
        if self._on_line is not None:
            self._on_line(line)

    def _parse(self, text: str) -> Line | None:
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if isinstance(line, dict) and isinstance(line.get("type"), str):
            return line
        if self._broken:
            self._refuse(self._broken)
        self._broken = text
        return None

    def _refuse(self, text: str) -> None:
        raise DeviceError(
            f"the harness wrote {text[:80]!r}, which is no line of its protocol: build it again, "
            "and let nothing else write to its standard output"
        )

    def _take(self, line: Line) -> None:
        kind = line["type"]
        if kind in ("hello", "opened", "loaded", "first", "warmed"):
            self._facts |= {k: v for k, v in line.items() if k != "type"}
        elif kind == "samples":
            if line["first"] != len(self._samples) or len(line["ns"]) != len(line["cpu"]):
                raise ValueError(f"samples from {line['first']} on, {len(self._samples)} are here")
            self._samples += map(int, line["ns"])
            self._cpus += map(int, line["cpu"])
        elif kind == "reading":
            self._readings[line["edge"]] = line
        elif kind == "verified":
            self._verifications.append(_verification(line))
        elif kind == "threads":
            self._tasks = tuple(
                Task(name=t["name"], cpus_allowed=int(t["cpus_allowed"], 16)) for t in line["tasks"]
            )
        elif kind == "memory":
            self._memory["rss"][line["stage"]] = line["vm_rss_kib"]
            self._memory["hwm"][line["stage"]] = line["vm_hwm_kib"]
        elif kind == "operators":
            self._inferences.append(line["operators"])
        elif kind == "end":
            self._end = line

    def result(self, ended: Exit) -> HarnessResult:
        """Return what the run was, after its last line.

        Args:
            ended: How its process ended.

        Raises:
            DeviceError: A line in the middle was no JSON.
        """
        end = self._end or self._lost(ended)
        status = Status(end["status"])
        cut_off = (Status.CRASHED, Status.TIMEOUT, Status.KILLED, Status.LOST)
        if self._broken and status not in cut_off:
            self._refuse(self._broken)
        before, after = (self._readings.get(edge) for edge in ("before", "after"))
        facts = self._facts
        return HarnessResult(
            status=status,
            stage=end["stage"],
            message=end["message"],
            signal=end["signal"],
            harness_version=facts.get("version", ""),
            engine=facts.get("engine", ""),
            engine_version=facts.get("engine_version", ""),
            inputs=_tensors(facts.get("inputs", ())),
            outputs=_tensors(facts.get("outputs", ())),
            open_ns=facts.get("open_ns"),
            load_ns=facts.get("load_ns"),
            first_inference_ns=facts.get("first_inference_ns"),
            warmup_inferences=facts.get("inferences", 0),
            samples_ns=np.array(self._samples, np.int64),
            cpus=np.array(self._cpus, np.int16),
            before=_reading(before, None) if before else None,
            after=_reading(after, before) if after else None,
            began_ns=facts.get("at_ns", 0),
            ended_ns=end["at_ns"] or facts.get("at_ns", 0),
            clock_jumped=bool(before and after and _asleep(after) - _asleep(before) > SLEPT_NS),
            tasks=self._tasks,
            verifications=tuple(self._verifications),
            vm_rss_kib=self._memory["rss"],
            vm_hwm_kib=self._memory["hwm"],
            operators=_operators(self._inferences),
            handicap_ppm=facts.get("handicap_ppm", 0),
            stderr=ended.stderr,
        )

    def _lost(self, ended: Exit) -> Line:
        if ended.status is None:
            status, why = Status.TIMEOUT, "the harness was silent for too long and was killed"
        else:
            how = f"signal {-ended.status}" if ended.status < 0 else f"status {ended.status}"
            last = [line for line in ended.stderr.splitlines() if line.strip()]
            hint = f"; its last words: {last[-1][:200]}" if last and not self._facts else ""
            status, why = Status.LOST, f"the harness ended with {how} and no last line{hint}"
        stage = "start" if not self._facts else "unknown"
        return {"status": status.value, "stage": stage, "message": why, "signal": 0, "at_ns": 0}


def _verification(line: Line) -> Verification:
    return Verification(
        when=line["when"],
        samples=line["samples"],
        limit=line["limit"],
        passed=line["passed"],
        outputs=tuple(
            OutputDistance(
                name=output["name"],
                # JSON has no infinity: the harness writes null
                relative_linf=float("inf")
                if output["relative_linf"] is None
                else output["relative_linf"],
                max_expected=output["max_expected"],
                not_finite=output["not_finite"],
            )
            for output in line["outputs"]
        ),
    )


def _tensors(plain: Any) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=t["name"], shape=tuple(t["shape"]), dtype=t["dtype"]) for t in plain
    )


def _asleep(reading: Line) -> int:
    return int(reading["boottime_ns"] - reading["at_ns"])


def _reading(line: Line, since: Line | None) -> Reading:
    """Build a reading; its load is that of the time since an earlier one."""
    steal = busy = None
    if since is not None:
        steal, busy = _load(since, line)
    return Reading(
        at_ns=line["at_ns"],
        cpu=line["cpu"] if line["cpu"] >= 0 else None,
        freq_khz=dict(line["freq_khz"]),
        freq_cap_khz=dict(line["freq_cap_khz"]),
        temp_mc=_numbered(line["temp_mc"]),
        online_cpus=tuple(line["online_cpus"]),
        load_1min=line["load_1min"],
        steal_fraction=steal,
        other_busy_fraction=busy,
    )


def _load(first: Line, last: Line) -> tuple[float | None, float | None]:
    """Return the shares of CPU time that a hypervisor and other processes took in between."""
    if len(first["cpu_ticks"]) != 8 or len(last["cpu_ticks"]) != 8:
        return None, None
    spent = [b - a for a, b in zip(first["cpu_ticks"], last["cpu_ticks"], strict=True)]
    user, nice, system, idle, iowait, irq, softirq, steal = spent
    busy = user + nice + system + irq + softirq
    total = busy + idle + iowait + steal
    if total <= 0:
        return None, None
    own = (last["own_cpu_ns"] - first["own_cpu_ns"]) * last["ticks_per_second"] / 1e9
    return _share(steal / total), _share((busy - own) / total)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))  # the kernel's ticks are coarse


def _numbered(zones: list[tuple[str, int | None]]) -> dict[str, int | None]:
    """Return zone to temperature, without those that cannot be read; equal names are numbered."""
    found: dict[str, int | None] = {}
    for name, temp_mc in zones:
        numbered, number = name, 1
        while numbered in found:
            number += 1
            numbered = f"{name}#{number}"
        if temp_mc is not None:
            found[numbered] = temp_mc
    return found


def _operators(inferences: list[list[Line]]) -> tuple[OperatorTime, ...]:
    """Join the operators of all profiled inferences by their place.

    Raises:
        DeviceError: Two inferences ran different operators.
    """
    if not inferences:
        return ()
    names = [[o["name"] for o in operators] for operators in inferences]
    if any(n != names[0] for n in names[1:]):
        raise DeviceError(
            "two inferences ran different operators, so their times cannot be joined: "
            "the engine has not settled, profile again with a longer warm-up"
        )
    return tuple(
        OperatorTime(
            name=same[0]["name"] or "(unnamed)",
            kind=same[0]["kind"],
            delegate=same[0]["delegate"],
            samples_ns=tuple(o["ns"] for o in same),
        )
        for same in zip(*inferences, strict=True)
    )
