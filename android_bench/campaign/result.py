"""A stored campaign with what follows from it: summaries, comparisons, the A/A control.

Reads the store only. The one place that decides by which rule a campaign's intervals are made:
by the campaign's own when it ended by it (an event ``stopped``), and by the rule that holds at
every length when it did not, because whoever looks then may have chosen the moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from android_bench.records import (
    ArtifactRecord,
    Block,
    CampaignRecord,
    Design,
    DeviceRecord,
    Event,
    MemoryRecord,
    OperatorProfile,
)
from android_bench.statistics.comparison import Comparison, collect_rounds, compare, compare_control
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.stopping import MIXTURE_T_RULE, TRIMMED_T_RULE
from android_bench.statistics.summary import Summary, summarise
from android_bench.store import Store

__all__ = ["STOPPED", "CampaignResult", "read_result"]

STOPPED = "stopped"  # kind of the event that says that the campaign's own rule ended it


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """One campaign, everything stored about it and everything derived from that.

    Attributes:
        campaign: What was measured.
        device: On what.
        artifacts: SHA-256 to file.
        blocks: In order of running, repeats and disturbed ones included.
        events: The oldest first.
        profiles: Operator passes.
        memory: Memory passes.
        summaries: One per variant that has a good block; the baseline's holds the control's too.
        comparisons: One per candidate; none while there are too few rounds, and none ever on an
            emulated phone, whose times mean nothing.
        control: The baseline against itself; None where there are no comparisons.
        complete: Whether the campaign's own rule or its budget ended it.
    """

    campaign: CampaignRecord
    device: DeviceRecord
    artifacts: Mapping[str, ArtifactRecord]
    blocks: tuple[Block, ...]
    events: tuple[Event, ...]
    profiles: tuple[OperatorProfile, ...]
    memory: tuple[MemoryRecord, ...]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    control: Comparison | None
    complete: bool

    def artifact(self, label: str) -> ArtifactRecord:
        """Return the file that an arm ran."""
        return self.artifacts[self.campaign.arm(label).artifact_sha256]


def read_result(store: Store, name: str) -> CampaignResult:
    """Read a campaign and derive what follows from it.

    Args:
        store: Where it is.
        name: Its id, the beginning of it, or ``last``.

    Raises:
        InputError: No campaign, or more than one, is called so.
        IntegrityError: Its stored samples are damaged.
    """
    record = store.campaign(name)
    design, blocks = record.design, store.blocks(record.campaign_id)
    events = store.events(record.campaign_id)
    complete = any(event.kind == STOPPED for event in events)
    rounds = collect_rounds(design, blocks)
    rule = TRIMMED_T_RULE if complete else MIXTURE_T_RULE
    device = store.device(record.device_id)
    judged = rounds if not device.emulated else ()
    return CampaignResult(
        campaign=record,
        device=device,
        artifacts=store.artifacts(record.campaign_id),
        blocks=blocks,
        events=events,
        profiles=store.profiles(record.campaign_id),
        memory=store.memory(record.campaign_id),
        summaries=_summaries(design, blocks),
        comparisons=compare(design, judged, rule),
        control=compare_control(design, judged, rule),
        complete=complete,
    )


def _summaries(design: Design, blocks: tuple[Block, ...]) -> tuple[Summary, ...]:
    found = []
    for label in design.labels:
        mine = [block for block in blocks if design.variant_of(block.label) == label]
        if any(not is_disturbed(block) for block in mine):
            found.append(summarise(mine, label))
    return tuple(found)
