"""The state of a phone at one moment, from one shell command.

On phones whose sensors ordinary users may not read, the thermal service still answers; where that
hangs or is missing too, the campaign keeps a fixed pause between blocks (`campaign/limits.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from android_bench.devices.answers import MARK, files, one_line, sections, thermal_status
from android_bench.devices.cores import CPU_FOLDER, cpu_list
from android_bench.records import Reading
from android_bench.records.reading import CpuTicks, name_zones, share_of_load
from android_bench.transports import Transport
from pfd_models.errors import DeviceError

__all__ = ["PhoneState", "read_state"]

_TIMEOUT_S = 30.0
_THERMAL_TIMEOUT_S = 5
_SHORTEST_LOAD_S = 0.5  # in less, most of the load is that of reading it

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
    """What a phone answered. What cannot be read is absent or None, never zero.

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
        ticks: CPU time of all cores since boot; None when it cannot be read.
    """

    boot_id: str
    uptime_s: float | None
    clock_s: int | None
    online_cpus: tuple[int, ...]
    freq_khz: Mapping[int, int]
    freq_cap_khz: Mapping[int, int]
    temp_mc: Mapping[str, int | None]
    thermal_status: int | None
    load_1min: float | None
    ticks: CpuTicks | None

    def reading(self, since: PhoneState | None, asleep_ns: int) -> Reading:
        """Return it as a record; its load is that of the time since an earlier state.

        Args:
            since: The state before; None for no load.
            asleep_ns: How far the time since boot is ahead of CLOCK_MONOTONIC.
        """
        uptime_s = self.uptime_s or 0.0
        first = since.ticks if since is not None and self._is_comparable(since) else None
        steal, busy = share_of_load(first, self.ticks)
        known = self.clock_s is not None and self.uptime_s is not None
        return Reading(
            at_ns=max(0, round(uptime_s * 1e9) - asleep_ns),
            freq_khz=self.freq_khz,
            freq_cap_khz=self.freq_cap_khz,
            temp_mc=self.temp_mc,
            online_cpus=self.online_cpus,
            load_1min=self.load_1min,
            steal_fraction=steal,
            other_busy_fraction=busy,
            thermal_status=self.thermal_status,
            boot_id=self.boot_id,
            wall_ahead_s=(self.clock_s or 0) - uptime_s if known else None,
        )

    def _is_comparable(self, since: PhoneState) -> bool:
        """Whether an earlier state is of this boot, and old enough to tell the load since."""
        passed_s = (self.uptime_s or 0.0) - (since.uptime_s or 0.0)
        return since.boot_id == self.boot_id and passed_s >= _SHORTEST_LOAD_S


def read_state(transport: Transport) -> PhoneState:
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
        clock_s=int(clock) if re.fullmatch(r"\d{1,12}", clock) else None,
        online_cpus=cpu_list(content.get(f"{CPU_FOLDER}/online", "")),
        freq_khz=_by_cpu(content, "scaling_cur_freq"),
        freq_cap_khz=_by_cpu(content, "scaling_max_freq"),
        temp_mc=_temperatures(content),
        thermal_status=thermal_status(parts.get("thermalservice", "")),
        load_1min=load,
        ticks=_ticks(content.get("/proc/stat", "")),
    )


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text) else None


def _ticks(line: str) -> CpuTicks | None:
    fields = line.split()[1:9]
    right = all(field.isdecimal() and len(field) < 18 for field in fields)
    return CpuTicks.of_stat([int(field) for field in fields]) if right else None


def _by_cpu(content: Mapping[str, str], name: str) -> dict[int, int]:
    found = {}
    for path, text in content.items():
        policy, _, last = path.rpartition("/")
        if last == name and re.fullmatch(r"\d{1,9}", text):
            for cpu in cpu_list(content.get(f"{policy}/related_cpus", "")):
                found[cpu] = int(text)
    return dict(sorted(found.items()))


def _temperatures(content: Mapping[str, str]) -> dict[str, int | None]:
    zones = sorted((number, path) for path in content if (number := _zone_number(path)) is not None)
    found = []
    for number, path in zones:
        text = content[path]
        folder = path.rpartition("/")[0]
        name = one_line(content.get(f"{folder}/type", "")) or f"thermal_zone{number}"
        found.append((name, int(text) if re.fullmatch(r"-?\d{1,7}", text) else None))
    return name_zones(found)


def _zone_number(path: str) -> int | None:
    match = re.fullmatch(r"/sys/class/thermal/thermal_zone(\d{1,4})/temp", path)
    return int(match[1]) if match else None
