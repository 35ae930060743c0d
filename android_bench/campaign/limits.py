"""The limits a campaign starts with, and what to do on a device that is never idle.

Limits that flag every block would measure nothing. They are widened only after waiting, only as
far as what was seen, once for each level, with an event on record and a line for the reader.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from android_bench.records import DeviceRecord, Limits, Reading
from android_bench.records.reading import hottest

__all__ = [
    "BLIND_PAUSE_S",
    "LOAD_MARGIN",
    "START_MARGIN_MC",
    "START_MOST_MC",
    "choose_start",
    "describe_start",
    "describe_wider",
    "widen_limits",
]

LOAD_MARGIN = 1.25
"""Load varies: a limit at exactly what was seen would be passed every second time."""

START_MARGIN_MC = 8_000
"""Above the first idle reading; as much as a block may warm the device."""

START_MOST_MC = 70_000
"""A phone that is hotter than this while idle is not rested: it is waited for."""

BLIND_PAUSE_S = 10.0
"""Between blocks of a phone that tells neither a temperature nor a thermal status."""


def choose_start(limits: Limits, idle: Reading, device: DeviceRecord) -> Limits:
    """Return the limits with what decides when a block of a phone may start.

    What the user set stays. A computer's sensors jump by tens of degrees within a block and fall
    as fast, so without a word from the user nothing is waited for there.

    Args:
        limits: As asked for.
        idle: The first reading, before anything ran.
        device: What it is.
    """
    if device.kind != "android" or limits.start_temperature_mc is not None:
        return limits
    if idle.hottest_mc is not None:
        start_mc = min(idle.hottest_mc + START_MARGIN_MC, START_MOST_MC)
        return dataclasses.replace(limits, start_temperature_mc=start_mc)
    if idle.thermal_status is None and not limits.blind_pause_s:
        return dataclasses.replace(limits, blind_pause_s=BLIND_PAUSE_S)
    return limits


def describe_start(limits: Limits, idle: Reading) -> str:
    """Say when blocks start, for the record."""
    if limits.blind_pause_s:
        return (
            "neither temperature nor thermal status can be read: blocks are kept apart by a "
            f"pause of {limits.blind_pause_s:.0f} s"
        )
    if limits.start_temperature_mc is None:
        return "blocks start whenever the thermal status allows it"
    return (
        f"blocks start at {limits.start_temperature_mc / 1000:.1f} °C or below "
        f"({hottest(idle)} when idle)"
    )


def widen_limits(limits: Limits, readings: Iterable[Reading]) -> Limits:
    """Return limits that the load of these readings would not have passed."""
    readings = list(readings)
    return dataclasses.replace(
        limits,
        other_busy=_above(limits.other_busy, [r.other_busy_fraction for r in readings]),
        steal=_above(limits.steal, [r.steal_fraction for r in readings]),
    )


def _above(limit: float, seen: Iterable[float | None]) -> float:
    most = max((share for share in seen if share is not None), default=0.0)
    return limit if most <= limit else min(1.0, LOAD_MARGIN * most)


def describe_wider(old: Limits, new: Limits) -> str:
    """Say which limits were widened, for the reader."""
    parts = []
    if new.other_busy > old.other_busy:
        parts.append(f"other processes may use {new.other_busy:.0%} of the CPUs")
    if new.steal > old.steal:
        parts.append(f"the hypervisor may take {new.steal:.0%}")
    return (
        f"this device is busy with other work and does not become idle: {' and '.join(parts)} "
        "before a block is repeated; expect wide intervals, or stop the other work and start again"
    )
