"""A device as it was when a campaign began."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from android_bench.records.field_checks import at_least, required, texts
from pfd_models.plain_data import to_plain

__all__ = ["Cluster", "DeviceRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """CPUs of one kind that share a frequency domain.

    Attributes:
        cpus: Their numbers, ascending.
        core: The core's name, as ``Cortex-A77``; empty when unknown.
        min_khz: Lowest hardware frequency; None when the kernel does not tell.
        max_khz: Highest hardware frequency; None when the kernel does not tell.
        governor: The frequency governor in force; empty when there is none.
    """

    cpus: tuple[int, ...]
    core: str = ""
    min_khz: int | None = None
    max_khz: int | None = None
    governor: str = ""

    def __post_init__(self) -> None:
        """Check every field."""
        ascending = list(self.cpus) == sorted(set(self.cpus)) and len(self.cpus) > 0
        required(self, ascending, "cpus", "give at least one CPU, each once, ascending")
        at_least(self, 1, "min_khz", "max_khz")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """A device as it was when the campaign began.

    Attributes:
        serial: What the lock and the user know it by; ``host`` devices use ``host-`` and a hash.
        kind: ``host`` or ``android``.
        model: As the maker calls it; for a host the CPU's name.
        manufacturer: As the maker calls itself; empty when unknown.
        soc: The chip; empty when unknown.
        abi: ``x86_64``, ``arm64-v8a`` or as the system says.
        os: System and version.
        kernel: Release of the running kernel.
        cpu_count: CPUs present.
        memory_kib: Physical memory; None when unknown.
        clusters: CPUs by kind.
        thermal_zones: Names of the zones that can be read.
        virtual: Whether it is emulated or a virtual machine; None when that cannot be told.
    """

    serial: str
    kind: str
    model: str
    manufacturer: str = ""
    soc: str = ""
    abi: str
    os: str
    kernel: str
    cpu_count: int
    memory_kib: int | None
    clusters: tuple[Cluster, ...]
    thermal_zones: tuple[str, ...]
    virtual: bool | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "serial", "model", "abi", "os", "kernel")
        required(self, self.kind in ("host", "android"), "kind", "give host or android")
        at_least(self, 1, "cpu_count", "memory_kib")
        cpus = [cpu for cluster in self.clusters for cpu in cluster.cpus]
        required(self, len(cpus) == len(set(cpus)), "clusters", "name each CPU in one cluster")

    @property
    def emulated(self) -> bool:
        """Whether it is no phone but imitates one: its times mean nothing."""
        return self.kind == "android" and self.virtual is True

    @property
    def device_id(self) -> str:
        """Return the hash of all fields: another kernel or governor makes another record."""
        plain = json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()[:32]
