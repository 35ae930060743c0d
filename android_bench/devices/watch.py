"""Whether a device is, and stayed, in a state in which its times mean something.

One context watches a block::

    with device.watch(limits, patience_s=10) as watch:   # waits until it is cool and idle
        result = run_block(...)
        flags = watch.flags(result.run, cpu_mask)        # what happened meanwhile

What was not readable disturbs nothing: the report says that it was not readable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from android_bench.records import Flag, Limits, Reading, TimedRun
from android_bench.records.reading import hottest
from pfd_models.errors import DeviceError

__all__ = ["Calm", "Watch", "find_changes", "find_flags", "wait_until_calm", "watch_block"]

_SLEPT_NS = 1_000_000
"""CLOCK_BOOTTIME runs on while a device sleeps, CLOCK_MONOTONIC does not."""

_WALL_TOLERANCE_S = 2.0  # a shell tells whole seconds, and asking takes time

INTERVAL_S = 1.0
"""Between two looks at a device that is not calm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """How a wait for a calm device ended.

    Attributes:
        reading: The last one.
        waited_s: How long it took.
        heat: Why it was still too hot when patience ended; empty when it was cool.
        load: Why it was still not idle when patience ended; empty when it was.
    """

    reading: Reading
    waited_s: float
    heat: str = ""
    load: str = ""

    @property
    def unrest(self) -> str:
        """Return why the device was not calm; empty when it was."""
        return self.heat or self.load


def find_heat(reading: Reading, limits: Limits) -> str:
    """Return why a device is too hot for a block, or nothing."""
    status = reading.thermal_status
    if status is not None and status > limits.start_thermal_status:
        return f"thermal status {status}, above {limits.start_thermal_status}"
    mc, allowed = reading.hottest_mc, limits.start_temperature_mc
    if mc is not None and allowed is not None and mc > allowed:
        return f"{hottest(reading)}, above {allowed / 1000:.1f} °C"
    return ""


def find_load(reading: Reading, limits: Limits) -> str:
    """Return what else keeps a device busy, or nothing."""
    if _more(reading.other_busy_fraction, limits.other_busy):
        return f"other processes use {reading.other_busy_fraction:.0%} of the CPUs"
    if _more(reading.steal_fraction, limits.steal):
        return f"the hypervisor takes {reading.steal_fraction:.0%} of the CPUs"
    return ""


def wait_until_calm(
    read: Callable[[], Reading],
    limits: Limits,
    *,
    patience_s: float,
    interval_s: float = INTERVAL_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Calm:
    """Wait until the device is cool and idle, or until patience ends.

    Heat is waited out for `Limits.cooling_patience_s`. Where no temperature can be read, the
    fixed pause of the limits is kept first.

    Args:
        read: Takes a reading; its load is that since the reading before.
        limits: When it is calm.
        patience_s: How long to wait for an idle device at most.
        interval_s: Between readings.
        clock: Seconds, monotonic.
        sleep: Waits for seconds.
    """
    begin = clock()
    if limits.blind_pause_s > 0:
        sleep(limits.blind_pause_s)
    while True:
        reading, waited = read(), clock() - begin
        heat, load = find_heat(reading, limits), find_load(reading, limits)
        patience = limits.cooling_patience_s if heat else patience_s
        if not (heat or load) or waited + interval_s > patience:
            return Calm(reading=reading, waited_s=waited, heat=heat, load=load)
        sleep(interval_s)


class Watch:
    """A block that is being watched.

    Attributes:
        calm: How the wait before it ended.
    """

    def __init__(
        self, calm: Calm, limits: Limits, read_after: Callable[[], Reading] | None
    ) -> None:
        self.calm = calm
        self._limits = limits
        self._read_after = read_after

    def flags(self, run: TimedRun, cpu_mask: int) -> frozenset[Flag]:
        """Return what disturbed the block that has just ended.

        Args:
            run: With the harness's own readings.
            cpu_mask: Bit i set: CPU i was allowed; 0 when not pinned.

        Raises:
            DeviceError: The device does not answer.
        """
        flags = find_flags(run, cpu_mask, self._limits)
        if self._read_after is not None:
            flags |= find_changes(self.calm.reading, self._read_after())
        return flags


@contextmanager
def watch_block(
    read: Callable[[], Reading],
    limits: Limits,
    *,
    patience_s: float,
    serial: str,
    read_after: Callable[[], Reading] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Watch]:
    """Wait for a calm device, then watch a block; see `devices.device.Device.watch`.

    Args:
        read: Takes a reading; its load is that since the reading before.
        limits: What the block may suffer.
        patience_s: How long to wait for an idle device; a busy one is measured all the same, and
            its blocks are flagged.
        serial: The device, for messages.
        read_after: Takes a reading after the block; None where the harness's own tell all.
        sleep: Waits for seconds.

    Raises:
        DeviceError: The device stays hot.
    """
    calm = wait_until_calm(read, limits, patience_s=patience_s, sleep=sleep)
    if calm.heat:
        raise DeviceError(
            f"{serial} does not cool down: {calm.heat} after {calm.waited_s:.0f} s; unplug it, "
            "take it out of its case, or allow more with --start-temperature, and go on with "
            "--resume"
        )
    yield Watch(calm, limits, read_after)


def find_flags(run: TimedRun, cpu_mask: int, limits: Limits) -> frozenset[Flag]:
    """Return what disturbed a run between the harness's own two readings.

    Args:
        run: Its samples and readings.
        cpu_mask: Bit i set: CPU i was allowed; 0 when not pinned.
        limits: What it may suffer.
    """
    before, after = run.before, run.after
    used = _used_cpus(run.cpus)
    flags = set(find_changes(before, after))
    if cpu_mask and any(not cpu_mask >> cpu & 1 for cpu in used):
        flags.add(Flag.WRONG_CORE)
    fell = [c for cpu, c in _change(before.freq_khz, after.freq_khz).items() if cpu in used]
    if any(change < 1 - limits.frequency_drop for change in fell):
        flags.add(Flag.THROTTLED)
    if find_load(after, limits):
        flags.add(Flag.LOADED_HOST)
    cool, warm = before.hottest_mc, after.hottest_mc
    if cool is not None and warm is not None and warm - cool > limits.temperature_rise_mc:
        flags.add(Flag.TEMPERATURE_ROSE)
    return frozenset(flags)


def find_changes(before: Reading, after: Reading) -> frozenset[Flag]:
    """Return what changed on a device between two readings that no block may ignore.

    After a reboot nothing else can be compared, so it is returned alone.
    """
    if before.boot_id and after.boot_id and before.boot_id != after.boot_id:
        return frozenset({Flag.REBOOTED})
    flags = set()
    if after.online_cpus and set(before.online_cpus) - set(after.online_cpus):
        flags.add(Flag.CORE_LOST)
    caps = _change(before.freq_cap_khz, after.freq_cap_khz).values()
    if any(change != 1 for change in caps):
        flags.add(Flag.FREQUENCY_CAP_CHANGED)
    if any(change < 1 for change in caps) or _grew(before.thermal_status, after.thermal_status, 0):
        flags.add(Flag.THROTTLED)
    moved = _difference(before.wall_ahead_s, after.wall_ahead_s)
    if abs(moved) > _WALL_TOLERANCE_S or _grew(before.asleep_ns, after.asleep_ns, _SLEPT_NS):
        flags.add(Flag.CLOCK_JUMP)
    return frozenset(flags)


def _used_cpus(cpus: NDArray[np.int16]) -> set[int]:
    return {int(cpu) for cpu in np.unique(cpus) if cpu >= 0}


def _change(before: Mapping[int, int | None], after: Mapping[int, int | None]) -> dict[int, float]:
    """Return CPU to the ratio of its two frequencies, where both are known."""
    both = {cpu: (before[cpu], after.get(cpu)) for cpu in before}
    return {cpu: new / old for cpu, (old, new) in both.items() if old and new}


def _more(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _grew(before: int | None, after: int | None, by_more_than: int) -> bool:
    return before is not None and after is not None and after - before > by_more_than


def _difference(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else after - before
