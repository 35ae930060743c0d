"""Which CPUs a measurement is pinned to: one rule for this computer and for phones.

The host chooses here, the harness pins and reads back (``native/``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from android_bench.devices.cores import cpu_list, rank_core
from android_bench.devices.device import Device
from android_bench.records import Cluster
from pfd_models.errors import DeviceError, InputError

__all__ = ["choose_cpus", "describe_mask", "rank_clusters"]

_LIST = re.compile(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*")


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
    if wanted == "auto":
        clusters = rank_clusters(device.record.clusters)
        if device.record.emulated:
            clusters = clusters[:1]  # slow cores are no substitute where the fast ones are missing
        cpus = _first(clusters, usable, threads)
        if device.record.emulated and not cpus:
            return 0
    else:
        cpus = _listed(wanted)
    if missing := sorted(cpus - usable):
        have = ",".join(map(str, sorted(usable)))
        raise DeviceError(f"CPU {missing[0]} cannot be used on this device; it has {have}")
    if len(cpus) < threads:
        raise DeviceError(f"{threads} threads need {threads} CPUs, there are {len(cpus)}")
    return sum(1 << cpu for cpu in cpus)


def rank_clusters(clusters: Iterable[Cluster]) -> list[Cluster]:
    """Return clusters with the fastest first.

    Their highest frequencies decide where every cluster tells one and they differ; else the kind
    of their cores, in-order ones last.
    """
    clusters = list(clusters)
    frequencies = {cluster.max_khz for cluster in clusters}
    if None in frequencies or len(frequencies) < 2:
        return sorted(clusters, key=lambda cluster: rank_core(cluster.core), reverse=True)
    return sorted(clusters, key=lambda c: (c.max_khz or 0, rank_core(c.core)), reverse=True)


def _first(clusters: Iterable[Cluster], usable: set[int], threads: int) -> set[int]:
    chosen: set[int] = set()
    for cluster in clusters:
        if len(chosen) < threads:
            chosen |= usable.intersection(cluster.cpus)
    return chosen


def _listed(text: str) -> set[int]:
    cpus = set(cpu_list(text)) if _LIST.fullmatch(text) else set()
    if not cpus:
        raise InputError(f"cores {text!r}: give auto, any, or CPU numbers as 4-7 or 0,2")
    return cpus


def describe_mask(cpu_mask: int) -> str:
    """Return a mask as a list for the reader, ``any CPU`` when nothing is pinned."""
    cpus = [str(cpu) for cpu in range(cpu_mask.bit_length()) if cpu_mask >> cpu & 1]
    return f"CPU {','.join(cpus)}" if cpus else "any CPU"
