"""How long the turns of a campaign are, as it was put on record, and what its heats say by that."""

from __future__ import annotations

from collections.abc import Sequence

from android_bench.records import CampaignRecord, Event, HeatRecord
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.heat_order import draw_mask
from android_bench.statistics.pace import Pace
from android_bench.statistics.turns import Heat, measure_heat
from pfd_models.plain_data import from_plain

__all__ = ["PACE", "find_good", "find_mask", "judge_heats", "read_pace"]

PACE = "pace_chosen"  # kind of the event that holds how long turns and heats are


def read_pace(events: Sequence[Event]) -> Pace | None:
    """Return the pace that a campaign was begun with; None before its pilot has run."""
    for event in reversed(events):
        if event.kind == PACE:
            return from_plain(Pace, event.data, what=f"the event {PACE!r}")
    return None


def judge_heats(record: CampaignRecord, pace: Pace, heats: Sequence[HeatRecord]) -> list[Heat]:
    """Reduce stored heats to their log-ratios, disturbed ones included, in order of running."""
    design = record.design
    discards = {burst.label: burst.discards for burst in pace.bursts}
    return [
        measure_heat(
            design,
            heat.turns,
            discards,
            number=heat.number,
            cpu_mask=find_mask(record, pace, heat.number),
            flags=heat.flags,
        )
        for heat in heats
    ]


def find_mask(record: CampaignRecord, pace: Pace, number: int) -> int:
    """Return the CPUs that a heat's processes were pinned to, as a mask; 0 when they were not."""
    return draw_mask(record.design, pace, number) or record.rules.cpu_mask


def find_good(heats: Sequence[HeatRecord], judged: Sequence[Heat]) -> list[HeatRecord]:
    """Return the heats that no flag forbids to use; `judged` says what each of them says."""
    pairs = zip(heats, judged, strict=True)
    return [heat for heat, verdict in pairs if not is_disturbed(verdict)]
