"""Watching a device at rest before a campaign begins."""

from __future__ import annotations

import time
from collections.abc import Callable

from android_bench.devices.watch import Calm, wait_until_calm
from android_bench.records import Limits, Reading

__all__ = ["settle"]


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
