"""The state of a phone at one moment, what changed between two, and waiting until it is cool.

A snapshot is one shell command. On phones whose sensors ordinary users may not read, the thermal
service still answers; where that hangs or is missing too, a fixed pause between blocks is all
that is left, and ``wait_until_cool`` says that it did that.
"""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from android_bench.devices.answers import MARK, files, one_line, sections, thermal_status
from android_bench.devices.cores import CPU_FOLDER, cpu_list
from android_bench.transports import Transport
from pfd_models.errors import DeviceError

__all__ = [
    "Change",
    "CoolDown",
    "Gate",
    "PhoneState",
    "Shift",
    "changes",
    "snapshot",
    "wait_until_cool",
]

_TIMEOUT_S = 30.0
_THERMAL_TIMEOUT_S = 5
_CLOCK_TOLERANCE_S = 2.0
# Zones that report something else than a temperature do so with values no phone survives.
_BELIEVABLE_MC = range(-40_000, 150_000)

_READ = f"""
echo '{MARK} files'
grep -sH '' {CPU_FOLDER}/online {CPU_FOLDER}/cpufreq/policy*/related_cpus \
 {CPU_FOLDER}/cpufreq/policy*/scaling_cur_freq {CPU_FOLDER}/cpufreq/policy*/scaling_max_freq \
 /sys/class/thermal/thermal_zone*/type /sys/class/thermal/thermal_zone*/temp \
 /proc/uptime /proc/loadavg /proc/sys/kernel/random/boot_id
grep -sH '^cpu ' /proc/stat
echo '{MARK} clock'; date +%s
echo '{MARK} thermalservice'
command -v dumpsys > /dev/null && timeout {_THERMAL_TIMEOUT_S} dumpsys thermalservice
true
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneState:
    """Readings at one moment. What cannot be read is absent or None, never zero.

    Attributes:
        boot_id: Of the running boot.
        uptime_s: Since boot.
        clock_s: The wall clock, seconds since 1970.
        online_cpus: Ascending.
        freq_khz: CPU to its current frequency.
        freq_cap_khz: CPU to the highest frequency allowed now.
        temp_mc: Thermal zone to thousandths of a degree Celsius.
        thermal_status: 0 (none) to 6 (shutdown).
        load_1min: The kernel's load average.
        cpu_ticks: user, nice, system, idle, iowait, irq, softirq, steal of all cores since boot.
    """

    boot_id: str
    uptime_s: float | None
    clock_s: int | None
    online_cpus: tuple[int, ...]
    freq_khz: Mapping[int, int]
    freq_cap_khz: Mapping[int, int]
    temp_mc: Mapping[str, int]
    thermal_status: int | None
    load_1min: float | None
    cpu_ticks: tuple[int, ...] = ()

    @property
    def hottest_mc(self) -> int | None:
        """The highest temperature in thousandths of a degree Celsius."""
        return max(self.temp_mc.values(), default=None)


def snapshot(transport: Transport) -> PhoneState:
    """Read a phone's state.

    Raises:
        DeviceError: It does not answer, or not with a state.
    """
    result = transport.run(_READ, timeout_s=_TIMEOUT_S)
    parts = sections(result.stdout)
    if "files" not in parts:
        raise DeviceError(
            f"{transport.serial} does not tell its state: "
            f"{one_line(result.stdout + result.stderr) or 'it said nothing'}; reconnect it"
        )
    content = files(parts["files"])
    uptime = _number(content.get("/proc/uptime", "").partition(" ")[0])
    load = _number(content.get("/proc/loadavg", "").partition(" ")[0])
    clock = parts.get("clock", "").strip()
    return PhoneState(
        boot_id=one_line(content.get("/proc/sys/kernel/random/boot_id", "")),
        uptime_s=uptime,
        clock_s=int(clock) if clock.isdecimal() else None,
        online_cpus=cpu_list(content.get(f"{CPU_FOLDER}/online", "")),
        freq_khz=_by_cpu(content, "scaling_cur_freq"),
        freq_cap_khz=_by_cpu(content, "scaling_max_freq"),
        temp_mc=_temperatures(content),
        thermal_status=thermal_status(parts.get("thermalservice", "")),
        load_1min=load,
        cpu_ticks=_ticks(content.get("/proc/stat", "")),
    )


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text) else None


def _ticks(line: str) -> tuple[int, ...]:
    fields = line.split()[1:9]
    return tuple(map(int, fields)) if all(field.isdecimal() for field in fields) else ()


def _by_cpu(content: Mapping[str, str], name: str) -> dict[int, int]:
    found = {}
    for path, text in content.items():
        policy, _, last = path.rpartition("/")
        if last == name and text.isdecimal():
            for cpu in cpu_list(content.get(f"{policy}/related_cpus", "")):
                found[cpu] = int(text)
    return dict(sorted(found.items()))


def _temperatures(content: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for path, text in sorted(content.items()):
        zone, _, last = path.rpartition("/")
        if last != "temp" or not re.fullmatch(r"-?\d{1,7}", text):
            continue
        name = one_line(content.get(f"{zone}/type", "")) or zone.rpartition("/")[2]
        # Several zones may share a type; each keeps a name of its own.
        if name in found:
            name = f"{name}#{zone.rpartition('thermal_zone')[2]}"
        if int(text) in _BELIEVABLE_MC:
            found[name] = int(text)
    return found


class Shift(enum.Enum):
    """What can change under a measurement."""

    THROTTLED = "throttled"
    FREQUENCY_CAP_CHANGED = "frequency_cap_changed"
    CORE_LOST = "core_lost"
    CLOCK_JUMP = "clock_jump"
    REBOOTED = "rebooted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that changed between two snapshots.

    Attributes:
        shift: Of which kind.
        detail: The two readings, in words.
    """

    shift: Shift
    detail: str


def changes(before: PhoneState, after: PhoneState) -> tuple[Change, ...]:
    """Return what changed between two snapshots that a measurement must not ignore.

    After a reboot nothing else can be compared, so it is returned alone.
    """
    if before.boot_id and after.boot_id and before.boot_id != after.boot_id:
        return (Change(shift=Shift.REBOOTED, detail="the device started anew in between"),)
    found = []
    old, new = before.thermal_status, after.thermal_status
    if old is not None and new is not None and new > old:
        detail = f"thermal status rose from {old} to {new}"
        found.append(Change(shift=Shift.THROTTLED, detail=detail))
    for (cap, now), cpus in _moved_caps(before, after).items():
        detail = f"{_cores(cpus)} may run at {now / 1e6:.2f} GHz, before at {cap / 1e6:.2f} GHz"
        found.append(Change(shift=Shift.FREQUENCY_CAP_CHANGED, detail=detail))
        if now < cap:
            found.append(Change(shift=Shift.THROTTLED, detail=detail))
    lost = sorted(set(before.online_cpus) - set(after.online_cpus))
    if lost and after.online_cpus:
        found.append(Change(shift=Shift.CORE_LOST, detail=f"{_cores(lost)} went offline"))
    jump = _clock_jump(before, after)
    if abs(jump) > _CLOCK_TOLERANCE_S:
        detail = f"the wall clock jumped by {jump:+.0f} s"
        found.append(Change(shift=Shift.CLOCK_JUMP, detail=detail))
    return tuple(found)


def _moved_caps(before: PhoneState, after: PhoneState) -> dict[tuple[int, int], list[int]]:
    """Return the old and the new cap to the cores that went from one to the other."""
    moved: dict[tuple[int, int], list[int]] = {}
    for cpu, cap in before.freq_cap_khz.items():
        now = after.freq_cap_khz.get(cpu, cap)
        if now != cap:
            moved.setdefault((cap, now), []).append(cpu)
    return moved


def _cores(cpus: list[int]) -> str:
    return f"core{'s' if len(cpus) > 1 else ''} {', '.join(map(str, cpus))}"


def _clock_jump(before: PhoneState, after: PhoneState) -> float:
    if before.clock_s is None or before.uptime_s is None:
        return 0.0
    if after.clock_s is None or after.uptime_s is None:
        return 0.0
    return (after.clock_s - before.clock_s) - (after.uptime_s - before.uptime_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolDown:
    """When the next block may start.

    Attributes:
        highest_mc: Hottest zone at which it may; None for any.
        highest_status: Thermal status at which it may.
        patience_s: How long to wait at most.
        interval_s: Between two looks.
        fallback_pause_s: Pause where neither status nor temperature can be read.
    """

    highest_mc: int | None = None
    highest_status: int = 0
    patience_s: float = 300.0
    interval_s: float = 2.0
    fallback_pause_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How waiting ended.

    Attributes:
        state: The last snapshot.
        waited_s: How long it took.
        blind: Whether nothing could be read, so that only the fixed pause was kept.
        still_hot: Why the phone was not cool when patience ended; empty when it was.
    """

    state: PhoneState
    waited_s: float
    blind: bool
    still_hot: str


def wait_until_cool(
    transport: Transport,
    rule: CoolDown,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Gate:
    """Wait until a phone is cool enough for the next block, or until patience ends.

    Raises:
        DeviceError: The phone does not answer.
    """
    begin = clock()
    while True:
        state = snapshot(transport)
        if state.thermal_status is None and not state.temp_mc:
            sleep(rule.fallback_pause_s)
            return Gate(state=state, waited_s=clock() - begin, blind=True, still_hot="")
        reason, waited = _hot(state, rule), clock() - begin
        if not reason or waited + rule.interval_s > rule.patience_s:
            return Gate(state=state, waited_s=waited, blind=False, still_hot=reason)
        sleep(rule.interval_s)


def _hot(state: PhoneState, rule: CoolDown) -> str:
    if state.thermal_status is not None and state.thermal_status > rule.highest_status:
        return f"thermal status {state.thermal_status}, above {rule.highest_status}"
    hottest = state.hottest_mc
    if hottest is not None and rule.highest_mc is not None and hottest > rule.highest_mc:
        return f"{hottest / 1000:.1f} °C, above {rule.highest_mc / 1000:.1f} °C"
    return ""
