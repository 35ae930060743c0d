"""The state of a device at one moment, and what its kernel's counters say of the time between two.

The same records come from three places (the harness, this computer's /proc and /sys, a phone's
shell); what they have in common is decided here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from android_bench.records.field_checks import at_least, ordered, required

__all__ = ["CpuTicks", "Reading", "hottest", "name_zones", "share_of_load"]

# Zones that report something else than a temperature do so with values no device survives.
BELIEVABLE_MC = range(-40_000, 150_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The state of a device, as at one edge of a block.

    Attributes:
        at_ns: CLOCK_MONOTONIC.
        cpu: The CPU that the reading thread ran on.
        freq_khz: CPU to its current frequency.
        freq_cap_khz: CPU to the highest frequency its policy allows now.
        temp_mc: Thermal zone to its temperature.
        online_cpus: Ascending.
        load_1min: The kernel's one-minute load average.
        steal_fraction: Share of CPU time the hypervisor took since the reading before, 0 to 1.
        other_busy_fraction: Share of CPU time that other processes used since then, 0 to 1.
        thermal_status: Android's, 0 (none) to 6 (shutdown).
        boot_id: Tells one boot from the next; empty when unknown.
        asleep_ns: How far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC: the time spent asleep.
        wall_ahead_s: How far the wall clock is ahead of the time since boot.
    """

    at_ns: int
    cpu: int | None = None
    freq_khz: Mapping[int, int | None] = field(default_factory=dict)
    freq_cap_khz: Mapping[int, int | None] = field(default_factory=dict)
    temp_mc: Mapping[str, int | None] = field(default_factory=dict)
    online_cpus: tuple[int, ...] = ()
    load_1min: float | None = None
    steal_fraction: float | None = None
    other_busy_fraction: float | None = None
    thermal_status: int | None = None
    boot_id: str = ""
    asleep_ns: int | None = None
    wall_ahead_s: float | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        at_least(self, 0, "at_ns", "cpu", "thermal_status")
        for name in ("freq_khz", "freq_cap_khz"):
            values = getattr(self, name).items()
            right = all(isinstance(c, int) and (f is None or f >= 0) for c, f in values)
            required(self, right, name, "map CPU numbers to kHz or None")
            object.__setattr__(self, name, ordered(getattr(self, name)))
        object.__setattr__(self, "temp_mc", ordered(self.temp_mc))
        required(
            self,
            list(self.online_cpus) == sorted(set(self.online_cpus)),
            "online_cpus",
            "give each CPU once, ascending",
        )
        for name in ("steal_fraction", "other_busy_fraction"):
            value = getattr(self, name)
            required(self, value is None or 0 <= value <= 1, name, "give a share from 0 to 1")
        required(
            self, self.load_1min is None or self.load_1min >= 0, "load_1min", "give a load >= 0"
        )

    @property
    def hottest_mc(self) -> int | None:
        """Return the highest readable temperature in thousandths of a degree Celsius."""
        return max((t for t in self.temp_mc.values() if t is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTicks:
    """CPU time of all CPUs since boot, in the kernel's ticks.

    Attributes:
        busy: user, nice, system, irq and softirq.
        idle: idle and iowait.
        steal: Taken by a hypervisor.
        own: Of `busy`, what the bench itself used, as far as known.
    """

    busy: float
    idle: float
    steal: float
    own: float = 0.0

    @classmethod
    def of_stat(cls, fields: Sequence[int], *, own: float = 0.0) -> CpuTicks | None:
        """Return the ticks of the first eight numbers of /proc/stat's ``cpu`` line, or None.

        Source: proc(5).
        """
        if len(fields) < 8:
            return None
        user, nice, system, idle, iowait, irq, softirq, steal = fields[:8]
        busy = user + nice + system + irq + softirq
        return cls(busy=busy, idle=idle + iowait, steal=steal, own=own)


def share_of_load(
    first: CpuTicks | None, last: CpuTicks | None
) -> tuple[float | None, float | None]:
    """Return the shares of CPU time that a hypervisor and other processes took in between."""
    if first is None or last is None:
        return None, None
    busy, steal = last.busy - first.busy, last.steal - first.steal
    total = busy + steal + last.idle - first.idle
    if total <= 0:
        return None, None
    own = last.own - first.own
    return _clip(steal / total), _clip((busy - own) / total)


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))  # the kernel's ticks are coarse


def name_zones(zones: Iterable[tuple[str, int | None]]) -> dict[str, int | None]:
    """Return zone to temperature; equal names are numbered, unbelievable values left out."""
    found: dict[str, int | None] = {}
    seen: dict[str, int] = {}
    for name, temp_mc in zones:
        seen[name] = seen.get(name, 0) + 1
        numbered = name if seen[name] == 1 else f"{name}#{seen[name]}"
        if temp_mc is not None and temp_mc in BELIEVABLE_MC:
            found[numbered] = temp_mc
    return found


def hottest(reading: Reading) -> str:
    """Return the highest temperature for the reader."""
    value = reading.hottest_mc
    return "no temperature" if value is None else f"{value / 1000:.1f} °C"
