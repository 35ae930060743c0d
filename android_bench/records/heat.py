"""One heat of a campaign: processes of its variants, alive at once, that took turns.

Times are nanoseconds of CLOCK_MONOTONIC. None always means "could not be read", never zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from android_bench.records.block import MAY_BE_EMPTY, Flag
from android_bench.records.field_checks import at_least, required, texts, utc
from android_bench.records.reading import Reading
from android_bench.records.turns import TurnSamples
from pfd_models.errors import InputError

__all__ = ["HeatChild", "HeatRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatChild:
    """One process of a heat.

    Attributes:
        label: The arm's label.
        burst: Inferences in each of its turns.
        discards: Of these, at the start of a turn, those that do not count.
        load_ns: Cold load of the file in a fresh process; None when it did not get that far.
        first_inference_ns: The first inference; None when it did not get that far.
        warmup_inferences: Inferences between the first and its first turn.
        vm_hwm_kib: Peak resident memory of the process; None when it could not be read.
        handicap_ppm: Slow-down the harness put in on purpose; the statistics never see it.
    """

    label: str
    burst: int
    discards: int
    load_ns: int | None = None
    first_inference_ns: int | None = None
    warmup_inferences: int = 0
    vm_hwm_kib: int | None = None
    handicap_ppm: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "label")
        at_least(self, 1, "burst", "load_ns", "first_inference_ns")
        at_least(self, 0, "discards", "warmup_inferences", "vm_hwm_kib", "handicap_ppm")
        required(self, self.discards < self.burst, "discards", "leave at least one inference")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRecord:
    """One heat with every sample.

    Attributes:
        campaign_id: The campaign it belongs to.
        number: Its place in the plan.
        attempt: 0, then counting up when a disturbed heat is repeated.
        started_utc: ISO 8601.
        children: Its processes, in the order of starting them.
        turns: Who had each turn, and every sample.
        before: Reading before the first turn.
        after: Reading after the last.
        flags: What disturbed the whole heat; single turns are judged from their samples.
        harness_version: Version of the native harness.
    """

    campaign_id: str
    number: int
    attempt: int = 0
    started_utc: str
    children: tuple[HeatChild, ...]
    turns: TurnSamples
    before: Reading
    after: Reading
    flags: frozenset[Flag] = frozenset()
    harness_version: str

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "campaign_id", "harness_version")
        utc(self, "started_utc")
        at_least(self, 0, "number", "attempt")
        object.__setattr__(self, "flags", frozenset(self.flags))
        required(self, all(isinstance(f, Flag) for f in self.flags), "flags", "give Flag values")
        labels = tuple(child.label for child in self.children)
        if labels != self.turns.children:
            raise InputError(
                f"heat {self.number} of {self.campaign_id} has the processes {labels} and turns "
                f"of {self.turns.children}; give the same, in the same order"
            )
        if not len(self.turns.turn_child) and not self.flags & MAY_BE_EMPTY:
            raise InputError(
                f"heat {self.number} of {self.campaign_id} has no turns; "
                "only a crashed, killed or partial heat may be empty"
            )
        if self.after.at_ns < self.before.at_ns:
            raise InputError(
                f"heat {self.number} of {self.campaign_id} ends at {self.after.at_ns} ns, before "
                f"it begins at {self.before.at_ns} ns; take both from CLOCK_MONOTONIC"
            )

    @property
    def key(self) -> tuple[str, int, int]:
        """Return what identifies the heat: campaign, number, attempt."""
        return (self.campaign_id, self.number, self.attempt)

    @property
    def discards(self) -> dict[str, int]:
        """Return label to the inferences at the start of its turns that do not count."""
        return {child.label: child.discards for child in self.children}
