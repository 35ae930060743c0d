"""Which cores a device has, and which of them are big.

Sources: the kernel's documentation of cpufreq and CPU lists in sysfs; for big and LITTLE cores
the rule of LiteRT's ``mini_benchmark/big_little_affinity.cc``; Arm's manuals for the part numbers
of MIDR_EL1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from android_bench.devices.answers import printable

__all__ = ["CPU_FOLDER", "CpuCluster", "big_cpus", "clusters", "core_mask", "cpu_list"]

CPU_FOLDER = "/sys/devices/system/cpu"

# Arm Limited is implementer 0x41; in-order cores are LITTLE where frequencies do not tell.
_CORES = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0D: "Cortex-A77",
    0xD41: "Cortex-A78",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
}
_IN_ORDER = frozenset({"Cortex-A35", "Cortex-A53", "Cortex-A55", "Cortex-A510", "Cortex-A520"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuCluster:
    """Cores that share one clock.

    Attributes:
        cpus: Their numbers, ascending.
        core: As ``Cortex-A77``; empty when unknown.
        min_khz: Lowest hardware frequency; None when the kernel does not tell.
        max_khz: Highest hardware frequency; None when the kernel does not tell.
        governor: In force.
        governors: To choose from.
    """

    cpus: tuple[int, ...]
    core: str
    min_khz: int | None
    max_khz: int | None
    governor: str
    governors: tuple[str, ...]


def core_mask(cpus: tuple[int, ...]) -> int:
    """Return the affinity mask with bit i set for core i."""
    return sum(1 << cpu for cpu in cpus)


def cpu_list(text: str) -> tuple[int, ...]:
    """Return the cores of the kernel's list form, with commas or spaces; ``0-2,6`` is 0, 1, 2, 6.

    What is not of this form is left out: a device may say anything.
    """
    cpus: set[int] = set()
    for part in text.replace(",", " ").split():
        if match := re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part):
            first = int(match[1])
            cpus.update(range(first, int(match[2] or first) + 1))
    return tuple(sorted(cpus))


def big_cpus(clusters: tuple[CpuCluster, ...]) -> tuple[int, ...]:
    """Return the cores to measure on, ascending.

    Where the clusters' highest frequencies are equal, the LITTLE cores are those of an in-order
    kind; where exactly two cores are the fastest, these are big; else all are big but the slowest.
    """
    freqs = {cpu: c.max_khz for c in clusters for cpu in c.cpus if c.max_khz is not None}
    if len(set(freqs.values())) <= 1:
        every = [(cpu, c.core) for c in clusters for cpu in c.cpus]
        out_of_order = [cpu for cpu, core in every if core not in _IN_ORDER]
        return tuple(sorted(out_of_order or [cpu for cpu, _ in every]))
    fastest = [cpu for cpu, khz in freqs.items() if khz == max(freqs.values())]
    if len(fastest) == 2:
        return tuple(sorted(fastest))
    return tuple(sorted(cpu for cpu, khz in freqs.items() if khz > min(freqs.values())))


def clusters(content: Mapping[str, str]) -> tuple[CpuCluster, ...]:
    """Return the cores by clock, from file to content, in the order of their first core."""
    cores = _core_names(content.get("/proc/cpuinfo", ""))
    found = []
    policies = {
        m[1] for path in content if (m := re.match(rf"({CPU_FOLDER}/cpufreq/policy\d+)/", path))
    }
    for policy in policies:
        cpus = cpu_list(content.get(f"{policy}/related_cpus", ""))
        if cpus:
            found.append(_cluster(content, policy, cpus, cores))
    covered = {cpu for cluster in found for cpu in cluster.cpus}
    rest = [cpu for cpu in cpu_list(content.get(f"{CPU_FOLDER}/present", "")) if cpu not in covered]
    # Without cpufreq the kinds of cores are all there is to tell them apart by.
    for core in dict.fromkeys(cores.get(cpu, "") for cpu in rest):
        cpus = tuple(cpu for cpu in rest if cores.get(cpu, "") == core)
        found.append(_cluster(content, "", cpus, cores))
    return tuple(sorted(found, key=lambda cluster: cluster.cpus))


def _cluster(
    content: Mapping[str, str], policy: str, cpus: tuple[int, ...], cores: Mapping[int, str]
) -> CpuCluster:
    def khz(name: str) -> int | None:
        text = content.get(f"{policy}/{name}", "")
        return int(text) if text.isdecimal() and int(text) > 0 else None

    return CpuCluster(
        cpus=cpus,
        core=cores.get(cpus[0], ""),
        min_khz=khz("cpuinfo_min_freq"),
        max_khz=khz("cpuinfo_max_freq"),
        governor=printable(content.get(f"{policy}/scaling_governor", "")),
        governors=tuple(content.get(f"{policy}/scaling_available_governors", "").split()),
    )


def _core_names(cpuinfo: str) -> dict[int, str]:
    names = {}
    number = None
    for line in cpuinfo.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "processor" and value.isdecimal():
            number = int(value)
        elif key == "CPU part" and number is not None and re.fullmatch(r"0x[0-9a-f]+", value):
            names[number] = _CORES.get(int(value, 16), f"part {value}")
    return names
