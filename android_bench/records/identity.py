"""Who was measured: device, files, and the campaign that compares them. Plain data, no torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from android_bench.records.field_checks import (
    at_least,
    ordered,
    required,
    sha256_digits,
    texts,
    utc,
)
from export.sets.manifest import Artifact, Manifest, to_plain
from pfd_models.errors import InputError, unknown

__all__ = [
    "Arm",
    "ArtifactRecord",
    "CampaignRecord",
    "Cluster",
    "DeviceRecord",
    "Role",
    "artifact_record",
]


class Role(Enum):
    """What an arm is in its comparison."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"
    CONTROL = "control"  # the baseline again under a second name: the A/A arm


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """One measured file, as its manifest described it.

    Attributes:
        sha256: Of the whole file.
        file: Its name.
        format: ``pte``, ``onnx`` or ``tflite``.
        model: Registered name, or ``module:factory``.
        variant: The variant's name; empty for a user's module.
        dataset: The data-set shape's name; empty for a user's module.
        resolution: Height and width of the input in pixels; None where they differ or are unknown.
        precision: ``fp32``, ``fp16`` or ``int8``.
        backend: The delegate it was lowered for, empty where the format has none.
        size_bytes: Of the whole file.
        delegates: Delegate calls of one inference; None where the format has none.
        leftovers: Operators outside the delegate; None where that was not counted.
        build_id: The manifest's.
        params: Trainable parameters; None when unknown.
        macs: Multiply-accumulates of one inference; None when unknown.
        versions: Package name to version, of the exporter.
    """

    sha256: str
    file: str
    format: str
    model: str
    variant: str
    dataset: str
    resolution: int | None
    precision: str
    backend: str
    size_bytes: int
    delegates: int | None
    leftovers: int | None = None
    build_id: str
    params: int | None = None
    macs: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field."""
        sha256_digits(self, "sha256")
        texts(self, "file", "format", "model", "precision", "build_id")
        at_least(self, 1, "resolution", "size_bytes")
        at_least(self, 0, "delegates", "leftovers", "params", "macs")
        object.__setattr__(self, "versions", ordered(self.versions))


def artifact_record(manifest: Manifest, artifact: Artifact) -> ArtifactRecord:
    """Return what the bench stores about one file of a manifest."""
    sides = {artifact.inputs[0].shape[i] for i in _image_axes(artifact.inputs[0].layout)}
    return ArtifactRecord(
        sha256=artifact.sha256,
        file=artifact.file,
        format=artifact.format,
        model=manifest.model,
        variant=manifest.variant,
        dataset=manifest.dataset,
        resolution=sides.pop() if len(sides) == 1 else None,
        precision=artifact.precision,
        backend=artifact.backend,
        size_bytes=artifact.size_bytes,
        delegates=artifact.delegates,
        leftovers=sum(left.count for left in artifact.leftovers),
        build_id=manifest.build_id,
        params=manifest.params,
        macs=manifest.macs,
        versions=manifest.versions,
    )


def _image_axes(layout: str) -> tuple[int, ...]:
    return {"NCHW": (2, 3), "NHWC": (1, 2)}.get(layout, ())


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One thing under test: a file, run by one engine in one way, under one label.

    Attributes:
        label: As shown; unique in its campaign.
        artifact_sha256: The file.
        engine: ``executorch`` or ``litert``.
        threads: Threads of the engine.
        cpu_mask: Bit i set: CPU i allowed; 0 when not pinned.
        role: Baseline, candidate or A/A control.
        compared_to: Label of the baseline it is compared with; empty for a baseline.
    """

    label: str
    artifact_sha256: str
    engine: str
    threads: int
    cpu_mask: int = field(metadata={"form": "hex"})
    role: Role
    compared_to: str = ""

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "label", "engine")
        sha256_digits(self, "artifact_sha256")
        at_least(self, 1, "threads")
        at_least(self, 0, "cpu_mask")
        alone = self.role is Role.BASELINE
        required(self, alone == (self.compared_to == ""), "compared_to", "name a baseline's label")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRecord:
    """What was going to be measured, and by which rules.

    Attributes:
        campaign_id: Unique; also how the user names it.
        name: A line for the reader.
        device_id: Of the `DeviceRecord`.
        started_utc: ISO 8601.
        arms: What is compared, in the order shown.
        precision: Half-width of the ratio's interval at which measuring stops, as 0.01.
        confidence: Of the intervals, as 0.95.
        budget_seconds: Device time after which measuring stops in any case.
        min_rounds: Rounds before the first interval is believed.
        max_attempts: Times a disturbed block is measured before its round is given up.
        seed: Of the block order.
        harness_version: Version of the native harness.
        host: Name of the computer that ran the campaign.
        settings: Schedule and gates as plain data (inferences, warm-up, cool-down, limits).
        versions: Package name to version on that computer.
        git_revision: Of the bench's source; empty outside a checkout.
        git_dirty: Whether that checkout had uncommitted changes.
    """

    campaign_id: str
    name: str
    device_id: str
    started_utc: str
    arms: tuple[Arm, ...]
    precision: float
    confidence: float
    budget_seconds: float
    min_rounds: int
    max_attempts: int
    seed: int
    harness_version: str
    host: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    git_revision: str = ""
    git_dirty: bool = False

    def __post_init__(self) -> None:
        """Check every field and that every comparison has its baseline."""
        texts(self, "campaign_id", "device_id", "harness_version", "host")
        utc(self, "started_utc")
        required(self, 0 < self.precision < 1, "precision", "give a share between 0 and 1")
        required(self, 0 < self.confidence < 1, "confidence", "give a share between 0 and 1")
        required(self, 0 < self.budget_seconds < math.inf, "budget_seconds", "give seconds > 0")
        at_least(self, 0, "seed")
        at_least(self, 1, "min_rounds", "max_attempts")
        roles = {arm.label: arm.role for arm in self.arms}
        unique = len(roles) == len(self.arms) > 0
        required(self, unique, "arms", "give at least one arm, each label once")
        for arm in self.arms:
            if arm.compared_to and roles.get(arm.compared_to) is not Role.BASELINE:
                raise InputError(
                    f"arm {arm.label!r} is compared to {arm.compared_to!r}, "
                    "which is no baseline of its campaign; name one that is"
                )
        object.__setattr__(self, "settings", ordered(self.settings))
        object.__setattr__(self, "versions", ordered(self.versions))

    def arm(self, label: str) -> Arm:
        """Return the arm of that label.

        Raises:
            InputError: The campaign has no such arm.
        """
        for arm in self.arms:
            if arm.label == label:
                return arm
        raise InputError(unknown("label", label, [arm.label for arm in self.arms]))
