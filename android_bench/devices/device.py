"""The seam between a campaign and what it runs on.

A campaign needs of a device: what it is, a harness that answers, readings, somebody who watches
it during a block, and a way to put a file there. Commands go through `Harness.launch`. Above this
seam nothing knows whether it is this computer (`host.py`) or a phone (`phone/`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from android_bench.devices.watch import Watch
from android_bench.harness.client import Harness
from android_bench.records import DeviceRecord, Limits, Reading

__all__ = ["Device"]


class Device(Protocol):
    """What a campaign runs on."""

    @property
    def record(self) -> DeviceRecord:
        """What it is."""

    @property
    def harness(self) -> Harness:
        """The harness that lies there."""

    @property
    def usable_cpus(self) -> tuple[int, ...]:
        """The CPUs that the harness may be pinned to, ascending."""

    def read(self) -> Reading:
        """Take a reading; its load is that since the reading before. No harness is running."""

    def watch(self, limits: Limits, *, patience_s: float) -> AbstractContextManager[Watch]:
        """Wait until it is cool and idle, then watch the block that runs inside the context.

        Args:
            limits: When a block may start, and what it may suffer.
            patience_s: How long to wait for an idle device; a busy one is measured all the same.

        Raises:
            DeviceError: It stays hot, or does not answer.
        """

    def upload(self, path: Path) -> str:
        """Bring a file there, whole, unless it is there already, and say where it lies."""

    def close(self) -> None:
        """Leave it as it was found."""
