"""A stored campaign with what follows from it: summaries, comparisons, the A/A control.

Reads the store only. The one place that decides by which rule a campaign's intervals are made:
by the campaign's own when it ended by it (an event ``stopped``), and by the rule that holds at
every length when it did not, because whoever looks then may have chosen the moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from android_bench.campaign.pace import find_good, find_mask, judge_heats, read_pace
from android_bench.records import (
    ArtifactRecord,
    Block,
    CampaignRecord,
    Design,
    DeviceRecord,
    Event,
    HeatRecord,
    MemoryRecord,
    OperatorProfile,
    Pairing,
)
from android_bench.statistics.comparison import (
    Comparison,
    Unit,
    collect_heats,
    collect_rounds,
    compare,
    compare_control,
)
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.pace import Pace
from android_bench.statistics.stopping import choose_rule
from android_bench.statistics.summary import Summary, summarise, summarise_turns
from android_bench.statistics.turns import Heat
from android_bench.statistics.undisturbed import (
    compare_undisturbed_blocks,
    compare_undisturbed_turns,
)
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
        blocks: In order of running, repeats and disturbed ones included; none where variants took
            turns.
        heats: Likewise, where variants took turns.
        judged: What each of the heats says.
        pace: How long turns and heats were; None where there were none.
        events: The oldest first.
        profiles: Operator passes.
        memory: Memory passes.
        summaries: One per variant that has a good block; the baseline's holds the control's too.
        comparisons: One per candidate; none while there are too few rounds, and none ever on an
            emulated phone, whose times mean nothing.
        undisturbed: The second figure, one per candidate: the ratio at undisturbed speed.
        control: The baseline against itself; None where there are no comparisons.
        complete: Whether the campaign's own rule or its budget ended it.
    """

    campaign: CampaignRecord
    device: DeviceRecord
    artifacts: Mapping[str, ArtifactRecord]
    blocks: tuple[Block, ...]
    heats: tuple[HeatRecord, ...]
    judged: tuple[Heat, ...]
    pace: Pace | None
    events: tuple[Event, ...]
    profiles: tuple[OperatorProfile, ...]
    memory: tuple[MemoryRecord, ...]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    undisturbed: tuple[Comparison, ...]
    control: Comparison | None
    complete: bool

    @property
    def seconds(self) -> float:
        """Device time of the blocks or heats, from the first to the last; 0 when there are none."""
        edges = [(block.run.before, block.run.after) for block in self.blocks]
        edges += [(heat.before, heat.after) for heat in self.heats]
        if not edges:
            return 0.0
        begin = min(before.at_ns for before, _ in edges)
        return (max(after.at_ns for _, after in edges) - begin) / 1e9

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
    design, events = record.design, store.events(record.campaign_id)
    blocks, heats = store.blocks(record.campaign_id), store.heats(record.campaign_id)
    complete = any(event.kind == STOPPED for event in events)
    device = store.device(record.device_id)
    pace = read_pace(events)
    judged = judge_heats(record, pace, heats) if pace is not None else []
    if design.pairing is Pairing.TURNS:
        units: Sequence[Unit] = collect_heats(design, judged)
        summaries = _summarise_heats(record, pace, heats, judged) if pace is not None else ()
    else:
        units = collect_rounds(design, blocks)
        summaries = _summaries(design, blocks)
    if device.emulated:
        units = ()
    rule = choose_rule(design, by_hand=not complete)
    return CampaignResult(
        campaign=record,
        device=device,
        artifacts=store.artifacts(record.campaign_id),
        blocks=blocks,
        heats=heats,
        judged=tuple(judged),
        pace=pace,
        events=events,
        profiles=store.profiles(record.campaign_id),
        memory=store.memory(record.campaign_id),
        summaries=summaries,
        comparisons=compare(design, units, rule),
        undisturbed=_undisturbed(record, pace, blocks, heats, judged) if units else (),
        control=compare_control(design, units, rule),
        complete=complete,
    )


def _undisturbed(
    record: CampaignRecord,
    pace: Pace | None,
    blocks: tuple[Block, ...],
    heats: tuple[HeatRecord, ...],
    judged: Sequence[Heat],
) -> tuple[Comparison, ...]:
    """Return the second figure: the ratios at undisturbed speed."""
    design = record.design
    if design.pairing is Pairing.BLOCKS:
        return compare_undisturbed_blocks(design, blocks)
    assert pace is not None  # there are heats
    discards = {burst.label: burst.discards for burst in pace.bursts}
    good = find_good(heats, judged)
    masks = [find_mask(record, pace, heat.number) for heat in good]
    return compare_undisturbed_turns(
        design, [heat.turns for heat in good], discards, cpu_masks=masks
    )


def _summarise_heats(
    record: CampaignRecord, pace: Pace, heats: tuple[HeatRecord, ...], judged: Sequence[Heat]
) -> tuple[Summary, ...]:
    design = record.design
    good = find_good(heats, judged)
    if not good:
        return ()
    found = []
    for label in design.labels:
        mine = [c for h in good for c in h.children if design.variant_of(c.label) == label]
        found.append(
            summarise_turns(
                design,
                label,
                [heat.turns for heat in good],
                pace.burst(label).discards,
                threads=record.rules.threads,
                n_disturbed=len(heats) - len(good),
                load_ns=[child.load_ns for child in mine],
                first_inference_ns=[child.first_inference_ns for child in mine],
                vm_hwm_kib=[child.vm_hwm_kib for child in mine],
            )
        )
    return tuple(found)


def _summaries(design: Design, blocks: tuple[Block, ...]) -> tuple[Summary, ...]:
    found = []
    for label in design.labels:
        mine = [block for block in blocks if design.variant_of(block.label) == label]
        if any(not is_disturbed(block) for block in mine):
            found.append(summarise(mine, label))
    return tuple(found)
