"""What to do on a computer that is never idle: wait, then say so, and measure by wider limits.

Limits that flag every block would measure nothing. They are raised only after waiting, only as
far as what was seen, once for each level, with an event on record and a line for the reader.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable

from android_bench.campaign.limits import Calm, Limits, wait_until_calm
from android_bench.records import Reading

__all__ = ["MARGIN", "raised", "raised_text", "settle"]

MARGIN = 1.25  # load varies: a limit at exactly what was seen would be passed every second time


def settle(
    read: Callable[[], Reading],
    limits: Limits,
    *,
    patience_s: float,
    interval_s: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Calm:
    """Watch the device do nothing of ours for a moment, and longer while it is not calm.

    Args:
        read: Takes a reading; its load is that since the reading before.
        limits: When it is calm.
        patience_s: How long to wait at most.
        interval_s: How long to watch before each reading.
        sleep: Waits for seconds.
    """
    read()  # what was before does not count
    sleep(interval_s)
    return wait_until_calm(read, limits, patience_s=patience_s, interval_s=interval_s, sleep=sleep)


def raised(limits: Limits, readings: Iterable[Reading]) -> Limits:
    """Return limits that the load of these readings would not have passed."""
    readings = list(readings)
    return dataclasses.replace(
        limits,
        other_busy=_above(limits.other_busy, [r.other_busy_fraction for r in readings]),
        steal=_above(limits.steal, [r.steal_fraction for r in readings]),
    )


def _above(limit: float, seen: Iterable[float | None]) -> float:
    most = max((share for share in seen if share is not None), default=0.0)
    return limit if most <= limit else min(1.0, MARGIN * most)


def raised_text(old: Limits, new: Limits) -> str:
    """Say which limits were raised, for the reader."""
    parts = []
    if new.other_busy > old.other_busy:
        parts.append(f"other processes may use {new.other_busy:.0%} of the CPUs")
    if new.steal > old.steal:
        parts.append(f"the hypervisor may take {new.steal:.0%}")
    return (
        f"this device is busy with other work and does not become idle: {' and '.join(parts)} "
        "before a block is repeated; expect wide intervals, or stop the other work and start again"
    )
