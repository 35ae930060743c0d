"""Which cores a device has, and how fast their kinds are.

Sources: the kernel's documentation of cpufreq and CPU lists in sysfs; Arm's Technical Reference
Manuals for the part numbers of MIDR_EL1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from android_bench.devices.answers import one_line, whole_number

__all__ = [
    "CPU_FOLDER",
    "HIGHEST_CPU",
    "CpuCluster",
    "clusters",
    "core_name",
    "cpu_list",
    "rank_core",
]

CPU_FOLDER = "/sys/devices/system/cpu"
HIGHEST_CPU = 1023
"""The highest core number that is believed; as many fit into the kernel's affinity masks."""
_HIGHEST_KHZ = 100_000_000
_MOST_GOVERNORS = 64

# Arm Limited; part numbers are its own. From slow to fast within the in-order and the other kinds.
_ARM = 0x41
_HEX = re.compile(r"0x[0-9a-fA-F]{1,8}")
_CORES = {
    0xD04: "Cortex-A35",
    0xD03: "Cortex-A53",
    0xD05: "Cortex-A55",
    0xD46: "Cortex-A510",
    0xD80: "Cortex-A520",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD41: "Cortex-A78",
    0xD47: "Cortex-A710",
    0xD49: "Neoverse-N2",
    0xD4D: "Cortex-A715",
    0xD81: "Cortex-A720",
    0xD44: "Cortex-X1",
    0xD48: "Cortex-X2",
    0xD4E: "Cortex-X3",
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


def cpu_list(text: str) -> tuple[int, ...]:
    """Return the cores of the kernel's list form, with commas or spaces; ``0-2,6`` is 0, 1, 2, 6.

    What is not of this form, or beyond `HIGHEST_CPU`, is left out: a device may say anything.
    """
    cpus: set[int] = set()
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        begin = whole_number(first, highest=HIGHEST_CPU)
        end = whole_number(last, highest=HIGHEST_CPU) if dash else begin
        if begin is not None and end is not None:
            cpus.update(range(begin, end + 1))
    return tuple(sorted(cpus))


def rank_core(core: str) -> tuple[int, int]:
    """Return how fast a kind of core is beside others: in-order ones first, then by age.

    A kind that is not in the table (a newer one, or of another maker) counts as out of order.
    """
    names = list(_CORES.values())
    age = names.index(core) if core in names else len(names)
    return (core not in _IN_ORDER, age)


def core_name(implementer: str, part: str) -> str:
    """Return a core's name from two fields of /proc/cpuinfo, as ``Cortex-A77``."""
    if not (_HEX.fullmatch(implementer) and _HEX.fullmatch(part)):
        return ""
    name = _CORES.get(int(part, 16), "") if int(implementer, 16) == _ARM else ""
    return name or f"implementer {implementer} part {part}"


def clusters(content: Mapping[str, str]) -> tuple[CpuCluster, ...]:
    """Return the cores by clock, from file to content, in the order of their first core."""
    cores = _core_names(content.get("/proc/cpuinfo", ""))
    found: list[CpuCluster] = []
    policies = {
        m[1] for path in content if (m := re.match(rf"({CPU_FOLDER}/cpufreq/policy[0-9]+)/", path))
    }
    covered: set[int] = set()
    for policy in sorted(policies):
        related = cpu_list(content.get(f"{policy}/related_cpus", ""))
        # A core has one clock, whatever the device says.
        if cpus := tuple(cpu for cpu in related if cpu not in covered):
            found.append(_cluster(content, policy, cpus, cores))
            covered.update(cpus)
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
        # Some drivers say 0 for "do not know".
        return whole_number(content.get(f"{policy}/{name}", ""), highest=_HIGHEST_KHZ) or None

    return CpuCluster(
        cpus=cpus,
        core=cores.get(cpus[0], ""),
        min_khz=khz("cpuinfo_min_freq"),
        max_khz=khz("cpuinfo_max_freq"),
        governor=one_line(content.get(f"{policy}/scaling_governor", "")),
        governors=tuple(
            one_line(name)
            for name in content.get(f"{policy}/scaling_available_governors", "").split()[
                :_MOST_GOVERNORS
            ]
        ),
    )


def _core_names(cpuinfo: str) -> dict[int, str]:
    names = {}
    number: int | None = None
    implementer = hex(_ARM)
    for line in cpuinfo.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "processor":
            number = whole_number(value, highest=HIGHEST_CPU)
        elif key == "CPU implementer":
            implementer = value
        elif key == "CPU part" and number is not None:
            names[number] = core_name(implementer, value)
    return names
