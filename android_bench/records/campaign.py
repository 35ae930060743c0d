"""What was going to be measured, and by which rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from android_bench.records.design import Design
from android_bench.records.field_checks import (
    at_least,
    ordered,
    required,
    sha256_digits,
    texts,
    utc,
)
from android_bench.records.rules import Rules
from pfd_models.errors import InputError, unknown
from pfd_models.plain_data import CpuMask

__all__ = ["Arm", "CampaignRecord", "Role"]


class Role(Enum):
    """What an arm is in its comparison."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"
    CONTROL = "control"  # the baseline again under a second name: the A/A arm


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
    cpu_mask: CpuMask
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
        rules: How it is measured.
        manifests: SHA-256 of each file to where its manifest lay.
        harness_version: Version of the native harness.
        host: Name of the computer that ran the campaign.
        versions: Package name to version on that computer.
        git_revision: Of the bench's source; empty outside a checkout.
        git_dirty: Whether that checkout had uncommitted changes.
    """

    campaign_id: str
    name: str
    device_id: str
    started_utc: str
    arms: tuple[Arm, ...]
    rules: Rules
    manifests: Mapping[str, str] = field(default_factory=dict)
    harness_version: str
    host: str
    versions: Mapping[str, str] = field(default_factory=dict)
    git_revision: str = ""
    git_dirty: bool = False

    def __post_init__(self) -> None:
        """Check every field and that every comparison has its baseline."""
        texts(self, "campaign_id", "device_id", "harness_version", "host")
        utc(self, "started_utc")
        roles = {arm.label: arm.role for arm in self.arms}
        unique = len(roles) == len(self.arms) > 0
        required(self, unique, "arms", "give at least one arm, each label once")
        for arm in self.arms:
            if arm.compared_to and roles.get(arm.compared_to) is not Role.BASELINE:
                raise InputError(
                    f"arm {arm.label!r} is compared to {arm.compared_to!r}, "
                    "which is no baseline of its campaign; name one that is"
                )
        object.__setattr__(self, "manifests", ordered(self.manifests))
        object.__setattr__(self, "versions", ordered(self.versions))

    @property
    def design(self) -> Design:
        """Return what is compared and until when, to run, resume or judge it."""
        order = sorted(self.arms, key=lambda arm: arm.role is not Role.BASELINE)  # stable
        return self.rules.design(tuple(a.label for a in order if a.role is not Role.CONTROL))

    def arm(self, label: str) -> Arm:
        """Return the arm of that label.

        Raises:
            InputError: The campaign has no such arm.
        """
        for arm in self.arms:
            if arm.label == label:
                return arm
        raise InputError(unknown("label", label, [arm.label for arm in self.arms]))
