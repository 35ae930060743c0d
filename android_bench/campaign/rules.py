"""How a campaign measures, as data that is stored with it and read again to resume it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from android_bench.campaign.limits import Limits
from android_bench.harness.job import Schedule
from android_bench.records import CampaignRecord
from android_bench.statistics.design import Design
from pfd_models.errors import InputError
from pfd_models.plain_data import from_plain, to_plain

__all__ = ["BLOCK", "Rules", "rules_of", "settings_of"]

# A block: half a second of warm-up, then at least 90 inferences and 0.3 s, but no slow model may
# take more than two seconds. Many short blocks tell more than few long ones.
BLOCK = Schedule(iterations=90, seconds=0.3, max_seconds=2.0, timeout_seconds=120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How to measure.

    Attributes:
        threads: Of the engine.
        cpu_mask: Bit i set: CPU i allowed; 0 when not pinned.
        precision: Half-width of the ratio's interval at which measuring stops, as 0.01.
        confidence: Of the intervals.
        budget_seconds: Device time after which measuring stops in any case.
        seed: Of the block order.
        schedule: Of one block.
        limits: What a block may suffer.
        patience_s: How long to wait for a calm device before a block.
        handicap_ppm: Label to the share the harness adds to each inference; the statistics never
            see it.
        purpose: ``compare``, or ``qualify`` where the instrument itself is tested.
        batch: What the campaigns of one call have in common, so that the call can be resumed.
    """

    threads: int = 1
    cpu_mask: int = 0
    precision: float = 0.01
    confidence: float = 0.95
    budget_seconds: float = 120.0
    seed: int = 0
    schedule: Schedule = BLOCK
    limits: Limits = field(default_factory=Limits)
    patience_s: float = 10.0
    handicap_ppm: Mapping[str, int] = field(default_factory=dict)
    purpose: str = "compare"
    batch: str = ""

    def __post_init__(self) -> None:
        """Refuse what no engine can do; the rest is checked by `plan`."""
        if self.threads < 1:
            raise InputError(f"threads is {self.threads}: it must be at least 1")

    def plan(self, labels: tuple[str, ...]) -> Design:
        """Return the plan for these variants.

        Raises:
            InputError: A rule or a label is one no campaign can be run with.
        """
        return Design(
            labels=labels,
            precision=self.precision,
            confidence=self.confidence,
            budget_seconds=self.budget_seconds,
            seed=self.seed,
        )


_KEPT = ("schedule", "limits", "patience_s", "handicap_ppm", "purpose", "batch")


def settings_of(rules: Rules) -> dict[str, Any]:
    """Return what a campaign's record keeps of the rules beside its own fields."""
    return {name: to_plain(getattr(rules, name)) for name in _KEPT}


def rules_of(record: CampaignRecord) -> Rules:
    """Return the rules of a stored campaign.

    Raises:
        InputError: Its settings are not those of this version.
    """
    settings, arm = record.settings, record.arms[0]
    if missing := sorted(set(_KEPT) - set(settings)):
        raise InputError(
            f"campaign {record.campaign_id} does not say its {missing[0]}: it was not measured by "
            "this bench; start a new one"
        )
    return Rules(
        threads=arm.threads,
        cpu_mask=arm.cpu_mask,
        precision=record.precision,
        confidence=record.confidence,
        budget_seconds=record.budget_seconds,
        seed=record.seed,
        schedule=from_plain(Schedule, settings["schedule"]),
        limits=from_plain(Limits, settings["limits"]),
        patience_s=settings["patience_s"],
        handicap_ppm=settings["handicap_ppm"],
        purpose=settings["purpose"],
        batch=settings["batch"],
    )
