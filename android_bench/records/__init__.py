"""Everything the bench records, in one place to import from.

Records are checked when they are made, so one that exists is right; statistics are computed
from the raw values when asked for and never stored. Blocks that do not belong together are
refused by key. Nothing here imports torch.

    identity.py   who was measured: device, files, arms, campaign
    block.py      what ran: samples, readings, flags
    here          the separate passes (operators, memory) and the events of a campaign
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from android_bench.records.block import Block, Flag, Reading, require_same_arm
from android_bench.records.field_checks import at_least, ordered, required, texts, utc
from android_bench.records.identity import (
    Arm,
    ArtifactRecord,
    CampaignRecord,
    Cluster,
    DeviceRecord,
    Role,
    artifact_record,
)

__all__ = [
    "Arm",
    "ArtifactRecord",
    "Block",
    "CampaignRecord",
    "Cluster",
    "DeviceRecord",
    "Event",
    "Flag",
    "MemoryRecord",
    "OperatorProfile",
    "OperatorTime",
    "Reading",
    "Role",
    "artifact_record",
    "require_same_arm",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """One operator in the profiling pass.

    Attributes:
        name: As the engine calls it.
        kind: The operator's type; empty when the engine does not tell.
        delegate: The delegate that ran it; empty when none did.
        samples_ns: Duration in each profiled inference, in order.
    """

    name: str
    kind: str = ""
    delegate: str = ""
    samples_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "name")
        right = len(self.samples_ns) > 0 and all(s >= 0 for s in self.samples_ns)
        required(self, right, "samples_ns", "give at least one duration, none negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """The per-operator pass of one arm; never mixed with timing.

    Attributes:
        campaign_id: The campaign it belongs to.
        label: The arm's label.
        started_utc: ISO 8601.
        operators: In the order they run.
        harness_version: Version of the native harness.
    """

    campaign_id: str
    label: str
    started_utc: str
    operators: tuple[OperatorTime, ...]
    harness_version: str

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "campaign_id", "label", "harness_version")
        utc(self, "started_utc")
        required(self, len(self.operators) > 0, "operators", "give at least one operator")

    def median_ns(self) -> tuple[float, ...]:
        """Return the median duration of each operator, in the order they run."""
        return tuple(statistics.median(operator.samples_ns) for operator in self.operators)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecord:
    """The memory pass of one arm; never mixed with timing.

    Attributes:
        campaign_id: The campaign it belongs to.
        label: The arm's label.
        started_utc: ISO 8601.
        vm_hwm_kib: Peak resident memory of the process.
        rss_kib: Stage (``start``, ``loaded``, ``first``, ``steady``) to resident memory.
        harness_version: Version of the native harness.
    """

    campaign_id: str
    label: str
    started_utc: str
    vm_hwm_kib: int
    rss_kib: Mapping[str, int | None] = field(default_factory=dict)
    harness_version: str

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "campaign_id", "label", "harness_version")
        utc(self, "started_utc")
        at_least(self, 1, "vm_hwm_kib")
        object.__setattr__(self, "rss_kib", dict(self.rss_kib))  # stages stay in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a campaign and is worth a line.

    Attributes:
        campaign_id: The campaign it belongs to.
        at_utc: ISO 8601.
        kind: One word for programs, as ``started``, ``repeated``, ``stopped``, ``failed``.
        message: A line for the reader.
        block_index: The block it is about; None when it is about none.
        data: Further facts as plain data.
    """

    campaign_id: str
    at_utc: str
    kind: str
    message: str
    block_index: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "campaign_id", "kind", "message")
        utc(self, "at_utc")
        at_least(self, 0, "block_index")
        object.__setattr__(self, "data", ordered(self.data))
