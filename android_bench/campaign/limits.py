"""Whether a device is, and stayed, in a state in which its times mean something. Pure.

`disturbances` says what happened to a block between its two readings; `wait_until_calm` holds
the next block back until the device is cool and idle. What was not readable disturbs nothing:
the report says that it was not readable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from android_bench.records import Flag, Reading

__all__ = ["Calm", "Limits", "disturbances", "unrest", "wait_until_calm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a block may suffer before it is flagged, and when the next one may start.

    Attributes:
        temperature_rise_mc: Rise of the hottest zone within a block.
        start_temperature_mc: Hottest zone at which a block may start; None for any.
        frequency_drop: Share by which the frequency of a CPU that ran may fall.
        other_busy: Share of CPU time that other processes may use.
        steal: Share of CPU time that a hypervisor may take.
    """

    temperature_rise_mc: int = 8_000
    start_temperature_mc: int | None = None
    frequency_drop: float = 0.10
    other_busy: float = 0.10
    steal: float = 0.02


def disturbances(
    before: Reading, after: Reading, cpus: NDArray[np.int16], cpu_mask: int, limits: Limits
) -> frozenset[Flag]:
    """Return what disturbed a block.

    Args:
        before: At its beginning.
        after: At its end; its load is that of the time between.
        cpus: (n,) the CPU of each sample, -1 when unknown.
        cpu_mask: Bit i set: CPU i was allowed; 0 when not pinned.
        limits: What it may suffer.
    """
    used = {int(cpu) for cpu in np.unique(cpus) if cpu >= 0}
    flags = set()
    if cpu_mask and any(not cpu_mask >> cpu & 1 for cpu in used):
        flags.add(Flag.WRONG_CORE)
    if after.online_cpus and set(before.online_cpus) - set(after.online_cpus):
        flags.add(Flag.CORE_LOST)
    caps = _change(before.freq_cap_khz, after.freq_cap_khz)
    if any(change != 1 for change in caps.values()):
        flags.add(Flag.FREQUENCY_CAP_CHANGED)
    fell = [c for cpu, c in _change(before.freq_khz, after.freq_khz).items() if cpu in used]
    if any(c < 1 for c in caps.values()) or any(c < 1 - limits.frequency_drop for c in fell):
        flags.add(Flag.THROTTLED)
    if _more(after.other_busy_fraction, limits.other_busy) or _more(
        after.steal_fraction, limits.steal
    ):
        flags.add(Flag.LOADED_HOST)
    cool, warm = before.hottest_mc, after.hottest_mc
    if cool is not None and warm is not None and warm - cool > limits.temperature_rise_mc:
        flags.add(Flag.TEMPERATURE_ROSE)
    return frozenset(flags)


def _change(before: Mapping[int, int | None], after: Mapping[int, int | None]) -> dict[int, float]:
    """Return CPU to the ratio of its two frequencies, where both are known."""
    both = {cpu: (before[cpu], after.get(cpu)) for cpu in before}
    return {cpu: new / old for cpu, (old, new) in both.items() if old and new}


def _more(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def unrest(reading: Reading, limits: Limits) -> str:
    """Return why a block should not start now, or nothing."""
    hottest, allowed = reading.hottest_mc, limits.start_temperature_mc
    if hottest is not None and allowed is not None and hottest > allowed:
        return f"{hottest / 1000:.1f} °C, above {allowed / 1000:.1f} °C"
    if _more(reading.other_busy_fraction, limits.other_busy):
        return f"other processes use {reading.other_busy_fraction:.0%} of the CPUs"
    if _more(reading.steal_fraction, limits.steal):
        return f"the hypervisor takes {reading.steal_fraction:.0%} of the CPUs"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """How a wait ended.

    Attributes:
        reading: The last one.
        waited_s: How long it took.
        unrest: Why the device was still not calm when patience ended; empty when it was.
    """

    reading: Reading
    waited_s: float
    unrest: str


def wait_until_calm(
    read: Callable[[], Reading],
    limits: Limits,
    *,
    patience_s: float,
    interval_s: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Calm:
    """Wait until the device is cool and idle, or until patience ends.

    Args:
        read: Takes a reading; its load is that since the reading before.
        limits: When it is calm.
        patience_s: How long to wait at most.
        interval_s: Between readings.
        clock: Seconds, monotonic.
        sleep: Waits for seconds.
    """
    begin = clock()
    while True:
        reading = read()
        reason, waited = unrest(reading, limits), clock() - begin
        if not reason or waited + interval_s > patience_s:
            return Calm(reading=reading, waited_s=waited, unrest=reason)
        sleep(interval_s)
