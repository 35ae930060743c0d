"""How a campaign measures, as data that is stored with it and read again to resume it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from android_bench.records.design import Design, Pairing
from android_bench.records.field_checks import ordered
from android_bench.records.limits import Limits
from android_bench.records.schedule import Schedule
from pfd_models.errors import InputError

__all__ = ["BLOCK", "Rules"]

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
        min_rounds: Rounds before the first interval is believed.
        max_attempts: Times a disturbed block is measured before its round is given up.
        seed: Of the block order.
        pairing: Blocks in rounds, or turns in heats.
        schedule: Of one block.
        limits: What a block may suffer.
        patience_s: How long to wait for an idle device before a block.
        handicap_ppm: Label to the share the harness adds to each inference; the statistics never
            see it.
        purpose: ``compare``, or ``qualify`` where the instrument itself is tested.
        batch: What the campaigns of one call have in common, so that the call can be resumed.
        governor: What the frequency governor was set to meanwhile, as ``performance`` or
            ``fixed:1200000``; empty when it was left alone.
    """

    threads: int = 1
    cpu_mask: int = 0
    precision: float = 0.01
    confidence: float = 0.95
    budget_seconds: float = 120.0
    min_rounds: int = 12
    max_attempts: int = 3
    seed: int = 0
    pairing: Pairing = Pairing.BLOCKS
    schedule: Schedule = BLOCK
    limits: Limits = field(default_factory=Limits)
    patience_s: float = 10.0
    handicap_ppm: Mapping[str, int] = field(default_factory=dict)
    purpose: str = "compare"
    batch: str = ""
    governor: str = ""

    def __post_init__(self) -> None:
        """Refuse what no campaign can be run with."""
        if self.threads < 1:
            raise InputError(f"threads is {self.threads}: it must be at least 1")
        object.__setattr__(self, "handicap_ppm", ordered(self.handicap_ppm))

    def design(self, labels: tuple[str, ...]) -> Design:
        """Return the design for these variants, the baseline first.

        Raises:
            InputError: A rule or a label is one no campaign can be run with.
        """
        return Design(
            labels=labels,
            precision=self.precision,
            confidence=self.confidence,
            budget_seconds=self.budget_seconds,
            min_rounds=self.min_rounds,
            max_attempts=self.max_attempts,
            seed=self.seed,
            pairing=self.pairing,
        )
