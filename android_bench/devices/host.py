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
import time
from contextlib import AbstractContextManager
from pathlib import Path

from android_bench.devices.cores import core_name, cpu_list
from android_bench.devices.watch import Watch, watch_block
from android_bench.harness.client import Harness
from android_bench.records import Cluster, DeviceRecord, Limits, Reading
from android_bench.records.reading import CpuTicks, name_zones, share_of_load
from pfd_models.operating_system import cpu_seconds_used, usable_cpus

__all__ = ["HostDevice", "HostReadings", "read_device"]


def read_device(root: Path = Path("/")) -> DeviceRecord:
    """Return what this computer is.

    Args:
        root: Where ``proc``, ``sys`` and ``etc`` lie.
    """
    cpuinfo = _cpuinfo(root)
    cpus = cpu_list(_text(root / "sys/devices/system/cpu/present"))
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


class HostReadings:
    """Readings of this computer; load is measured between one call and the next.

    The time of this process and of its finished children counts as the bench's own, so read
    when no child runs.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._before = _cpu_ticks(root)

    def read(self) -> Reading:
        """Return the state of the computer now; costs about a millisecond."""
        now, before = _cpu_ticks(self._root), self._before
        self._before = now
        steal, busy = share_of_load(before, now)
        online = cpu_list(_text(self._root / "sys/devices/system/cpu/online"))
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


class HostDevice:
    """This computer; see `devices.device.Device`."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._record = read_device()
        self._readings = HostReadings()

    @property
    def record(self) -> DeviceRecord:
        """What it is."""
        return self._record

    @property
    def harness(self) -> Harness:
        """The harness built here."""
        return self._harness

    @property
    def usable_cpus(self) -> tuple[int, ...]:
        """The CPUs this process may use, which a container can narrow."""
        return usable_cpus()

    def read(self) -> Reading:
        """Take a reading."""
        return self._readings.read()

    def watch(self, limits: Limits, *, patience_s: float) -> AbstractContextManager[Watch]:
        """Wait until it is calm and watch a block; the harness's own readings tell all."""
        return watch_block(self.read, limits, patience_s=patience_s, serial=self._record.serial)

    def upload(self, path: Path) -> str:
        """Files are here already."""
        return str(path.absolute())

    def close(self) -> None:
        """Nothing was changed."""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


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
    return core_name(fields.get("CPU implementer", "0x41"), fields["CPU part"])


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
    found: list[tuple[str, int | None]] = []
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        found.append((_text(zone / "type") or zone.name, _number(zone / "temp")))
    for sensor in sorted((root / "sys/class/hwmon").glob("hwmon*/temp*_input")):
        stem = sensor.name.removesuffix("_input")
        label = _text(sensor.with_name(f"{stem}_label")) or stem
        found.append((f"{_text(sensor.parent / 'name')}/{label}", _number(sensor)))
    return name_zones(found)


def _cpu_ticks(root: Path) -> CpuTicks | None:
    fields = _text(root / "proc/stat").partition("\n")[0].split()
    if fields[:1] != ["cpu"] or not all(field.isdecimal() for field in fields[1:9]):
        return None
    own = cpu_seconds_used() * os.sysconf("SC_CLK_TCK")
    return CpuTicks.of_stat([int(field) for field in fields[1:9]], own=own)


def _current_cpu() -> int | None:
    # Field 39 of /proc/self/stat, counted after the name, which may hold anything.
    fields = _text(Path("/proc/self/stat")).rpartition(")")[2].split()
    return int(fields[36]) if len(fields) > 36 else None
