"""This computer as a device: what it is, and its readings, from /proc and /sys.

Every path is taken below a root, so that the same code reads a recorded machine in a test.
What the kernel does not tell (in a virtual machine: frequencies, temperatures) is absent or
None, never a guess.

Source: Linux kernel, Documentation/admin-guide/pm/cpufreq.rst, Documentation/driver-api/thermal,
Documentation/hwmon/sysfs-interface.rst, proc(5).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from android_bench.records import Cluster, DeviceRecord, Reading

__all__ = ["HostReadings", "parse_cpu_list", "read_device"]

# Implementer 0x41 (Arm Limited), Arm's Technical Reference Manuals, register MIDR_EL1.PartNum.
_ARM_PARTS = {
    0xD03: "Cortex-A53",
    0xD05: "Cortex-A55",
    0xD08: "Cortex-A72",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD41: "Cortex-A78",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
}


def read_device(root: Path = Path("/")) -> DeviceRecord:
    """Return what this computer is.

    Args:
        root: Where ``proc``, ``sys`` and ``etc`` lie.
    """
    cpuinfo = _cpuinfo(root)
    cpus = parse_cpu_list(_text(root / "sys/devices/system/cpu/present"))
    cpus = cpus or tuple(range(os.cpu_count() or 1))
    dmi = root / "sys/class/dmi/id"
    board = _text(root / "sys/firmware/devicetree/base/model").rstrip("\0")
    return DeviceRecord(
        serial=_serial(root),
        kind="host",
        model=cpuinfo[0].get("model name", "") or board or platform.machine(),
        manufacturer=_text(dmi / "sys_vendor"),
        soc=board or _text(dmi / "product_name"),
        abi=platform.machine(),
        os=_os_name(root),
        kernel=platform.release(),
        cpu_count=len(cpus),
        memory_kib=_memory_kib(root),
        clusters=_clusters(root, cpus, cpuinfo),
        thermal_zones=tuple(sorted(_temperatures(root))),
        virtual=True if "hypervisor" in cpuinfo[0].get("flags", "").split() else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _CpuTimes:
    """Seconds of CPU time since boot, all CPUs together, and what this bench used of them."""

    total: float
    busy: float
    steal: float
    own: float


class HostReadings:
    """Readings of this computer; load is measured between one call and the next.

    The time of this process and of its finished children counts as the bench's own, so read
    when no child runs.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._before = _cpu_times(root)

    def read(self) -> Reading:
        """Return the state of the computer now; costs about a millisecond."""
        now, before = _cpu_times(self._root), self._before
        self._before = now
        steal = busy = None
        if now is not None and before is not None and now.total > before.total:
            total = now.total - before.total
            steal = _share(now.steal - before.steal, total)
            busy = _share((now.busy - before.busy) - (now.own - before.own), total)
        online = parse_cpu_list(_text(self._root / "sys/devices/system/cpu/online"))
        load = _text(self._root / "proc/loadavg").split()
        return Reading(
            at_ns=time.monotonic_ns(),
            cpu=_current_cpu(),
            freq_khz={cpu: _frequency(self._root, cpu, "scaling_cur_freq") for cpu in online},
            freq_cap_khz={cpu: _frequency(self._root, cpu, "scaling_max_freq") for cpu in online},
            temp_mc=_temperatures(self._root),
            online_cpus=online,
            load_1min=float(load[0]) if load else None,
            steal_fraction=steal,
            other_busy_fraction=busy,
        )


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Return the CPUs of the kernel's list form, ``0-3,6`` giving 0, 1, 2, 3, 6."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(sorted(set(cpus)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _share(part: float, total: float) -> float:
    return min(1.0, max(0.0, part / total))  # the kernel's clock ticks are coarse


def _serial(root: Path) -> str:
    # The machine id itself is private; its hash tells two computers apart as well.
    identity = _text(root / "etc/machine-id") + "\n" + platform.node()
    return f"host-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _os_name(root: Path) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', _text(root / "etc/os-release"), re.MULTILINE)
    return found.group(1) if found else platform.system()


def _memory_kib(root: Path) -> int | None:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) if found else None


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """Return the fields of each CPU; at least one, perhaps empty."""
    cpus = []
    for paragraph in _text(root / "proc/cpuinfo").split("\n\n"):
        pairs = (line.partition(":") for line in paragraph.splitlines())
        cpus.append({key.strip(): value.strip() for key, _, value in pairs})
    return cpus or [{}]


def _core_name(fields: dict[str, str]) -> str:
    if "CPU part" not in fields:
        return fields.get("model name", "")
    implementer, part = fields.get("CPU implementer", "0x0"), int(fields["CPU part"], 16)
    name = _ARM_PARTS.get(part, "") if int(implementer, 16) == 0x41 else ""
    return name or f"implementer {implementer} part {part:#x}"


def _frequency(root: Path, cpu: int, name: str) -> int | None:
    khz = _number(root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}")
    return khz if khz else None  # some drivers say 0 for "do not know"


def _clusters(
    root: Path, cpus: tuple[int, ...], cpuinfo: list[dict[str, str]]
) -> tuple[Cluster, ...]:
    names = {
        int(f["processor"]): _core_name(f) for f in cpuinfo if f.get("processor", "").isdigit()
    }
    kinds: dict[tuple[str, int | None, int | None, str, int | None], list[int]] = {}
    for cpu in cpus:
        folder = root / f"sys/devices/system/cpu/cpu{cpu}"
        kind = (
            names.get(cpu, ""),
            _frequency(root, cpu, "cpuinfo_min_freq"),
            _frequency(root, cpu, "cpuinfo_max_freq"),
            _text(folder / "cpufreq/scaling_governor"),
            _number(folder / "cpu_capacity"),
        )
        kinds.setdefault(kind, []).append(cpu)
    return tuple(
        Cluster(cpus=tuple(members), core=core, min_khz=low, max_khz=high, governor=governor)
        for (core, low, high, governor, _), members in kinds.items()
    )


def _temperatures(root: Path) -> dict[str, int | None]:
    """Return zone to thousandths of a degree, of thermal zones and hardware monitors."""
    found: dict[str, int | None] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        found[_unused(found, _text(zone / "type") or zone.name)] = _number(zone / "temp")
    for sensor in sorted((root / "sys/class/hwmon").glob("hwmon*/temp*_input")):
        stem = sensor.name.removesuffix("_input")
        label = _text(sensor.with_name(f"{stem}_label")) or stem
        found[_unused(found, f"{_text(sensor.parent / 'name')}/{label}")] = _number(sensor)
    return {zone: temp for zone, temp in found.items() if temp is not None}


def _unused(taken: dict[str, int | None], name: str) -> str:
    numbered, number = name, 1
    while numbered in taken:
        number += 1
        numbered = f"{name}#{number}"
    return numbered


def _cpu_times(root: Path) -> _CpuTimes | None:
    fields = _text(root / "proc/stat").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = (
        int(f) / os.sysconf("SC_CLK_TCK") for f in fields[1:9]
    )
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = user + nice + system + irq + softirq
    return _CpuTimes(
        total=busy + idle + iowait + steal,
        busy=busy,
        steal=steal,
        own=sum(u.ru_utime + u.ru_stime for u in used),
    )


def _current_cpu() -> int | None:
    # Field 39 of /proc/self/stat, counted after the name, which may hold anything.
    fields = _text(Path("/proc/self/stat")).rpartition(")")[2].split()
    return int(fields[36]) if len(fields) > 36 else None
