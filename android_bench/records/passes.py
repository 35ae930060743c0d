"""The passes beside timing: time by operator and memory by stage."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from android_bench.records.field_checks import at_least, required, texts, utc

__all__ = ["MemoryRecord", "OperatorProfile", "OperatorTime"]


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
