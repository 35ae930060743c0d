"""The seam between a campaign and what it runs on; this computer is its first implementation.

A campaign needs of a device: what it is, a harness that answers, readings, and a way to put a
file there. Commands go through `Harness.launch`. A phone brings these five and nothing in
`campaign.py` changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from android_bench.devices.host import HostReadings, parse_cpu_list, read_device
from android_bench.harness.client import Harness, describe
from android_bench.native_build.build import build_harness
from android_bench.records import DeviceRecord, Flag, Reading
from pfd_models.errors import DeviceError, InputError, unknown

__all__ = ["DEVICES", "Device", "HostDevice", "choose_cpus", "mask_text", "open_device"]


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

    def cool_down(self) -> None:
        """Wait until it is cool enough for a block, by what its readings do not tell."""

    def happened(self) -> frozenset[Flag]:
        """Return what happened to it since the last `read` that a block must not ignore."""

    def place(self, path: Path) -> str:
        """Bring a file there, whole, unless it is there already, and say where it lies."""

    def close(self) -> None:
        """Leave it as it was found."""


class HostDevice:
    """This computer."""

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
        return tuple(sorted(os.sched_getaffinity(0)))

    def read(self) -> Reading:
        """Take a reading."""
        return self._readings.read()

    def cool_down(self) -> None:
        """Its readings tell all there is."""

    def happened(self) -> frozenset[Flag]:
        """Its readings tell all there is."""
        return frozenset()

    def place(self, path: Path) -> str:
        """Files are here already."""
        return str(path.absolute())

    def close(self) -> None:
        """Nothing was changed."""


def open_host() -> Device:
    """Build the harness for this computer, or take it from the cache, and ask it what it is."""
    return HostDevice(describe([str(build_harness().program)]))


def open_virtual() -> Device:
    """Start the virtual phone, or take the one that is up."""
    from android_bench.devices.phone.device import open_phone  # most calls need no phone

    return open_phone("virtual")


DEVICES: Mapping[str, Callable[[], Device]] = {"host": open_host, "virtual": open_virtual}


def open_device(name: str) -> Device:
    """Connect to a device.

    Raises:
        InputError: There is none of that name.
        DeviceError: It cannot be reached, or no harness can be had for it.
    """
    if name not in DEVICES:
        raise InputError(unknown("device", name, DEVICES))
    return DEVICES[name]()


def choose_cpus(device: Device, threads: int, wanted: str = "auto") -> int:
    """Return the mask of CPUs to run on, bit i for CPU i; 0 leaves it to the system.

    Args:
        device: Whose clusters and usable CPUs count.
        threads: The fewest CPUs that make sense.
        wanted: ``auto`` for the fastest clusters that hold that many threads, ``any`` for no
            pinning, or a list as ``4-7`` or ``0,2``. An emulated phone has only this computer's
            CPUs: where its fast cores are none of them, ``auto`` pins nothing.

    Raises:
        InputError: The list cannot be read.
        DeviceError: The device has no such CPUs, or too few for the threads.
    """
    if wanted == "any":
        return 0
    usable = set(device.usable_cpus)
    cpus = set(_fastest(device.record, usable, threads)) if wanted == "auto" else _listed(wanted)
    if wanted == "auto" and device.record.emulated and not cpus:
        return 0
    if missing := sorted(cpus - usable):
        have = ",".join(map(str, sorted(usable)))
        raise DeviceError(f"CPU {missing[0]} cannot be used on this device; it has {have}")
    if len(cpus) < threads:
        raise DeviceError(f"{threads} threads need {threads} CPUs, there are {len(cpus)}")
    return sum(1 << cpu for cpu in cpus)


def _listed(text: str) -> set[int]:
    try:
        cpus = set(parse_cpu_list(text))
    except ValueError:
        cpus = set()
    if not cpus:
        raise InputError(f"cores {text!r}: give auto, any, or CPU numbers as 4-7 or 0,2")
    return cpus


def _fastest(record: DeviceRecord, usable: set[int], threads: int) -> list[int]:
    chosen: list[int] = []
    clusters = sorted(record.clusters, key=lambda c: c.max_khz or 0, reverse=True)
    if record.emulated:
        clusters = clusters[:1]  # the slow cores are no substitute where the fast ones are missing
    for cluster in clusters:
        if len(chosen) < threads:
            chosen += [cpu for cpu in cluster.cpus if cpu in usable]
    return chosen


def mask_text(cpu_mask: int) -> str:
    """Return a mask as a list for the reader, ``any CPU`` when nothing is pinned."""
    cpus = [str(cpu) for cpu in range(cpu_mask.bit_length()) if cpu_mask >> cpu & 1]
    return f"CPU {','.join(cpus)}" if cpus else "any CPU"
