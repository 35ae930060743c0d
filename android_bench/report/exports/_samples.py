"""The table of raw samples, for the formats that hold one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from android_bench.campaign.result import CampaignResult
from android_bench.records import Block, HeatRecord

__all__ = ["COLUMNS", "rows_of"]

# Column to its type, as pyarrow calls it. ``run`` is the number of a block or a heat; ``round``
# and ``position`` belong to blocks, ``turn`` and ``counts`` to heats.
COLUMNS = {
    "campaign_id": "string",
    "pairing": "string",
    "run": "int32",
    "attempt": "int32",
    "round": "int32",
    "position": "int32",
    "turn": "int32",
    "label": "string",
    "artifact_sha256": "string",
    "engine": "string",
    "threads": "int32",
    "cpu_mask": "string",
    "handicap_ppm": "int32",
    "flags": "string",
    "sample": "int32",
    "counts": "bool_",
    "latency_ns": "int64",
    "cpu": "int16",
}


def rows_of(result: CampaignResult) -> Iterator[tuple[Any, ...]]:
    """Give a row, by `COLUMNS`, for every inference of a campaign, disturbed ones included."""
    for block in result.blocks:
        yield from _block_rows(result, block)
    for heat in result.heats:
        yield from _heat_rows(result, heat)


def _block_rows(result: CampaignResult, block: Block) -> Iterator[tuple[Any, ...]]:
    start = (*_of_campaign(result), block.index, block.attempt, block.round, block.position, None)
    rest = (*_of_arm(result, block.label), block.run.handicap_ppm, _flags(block))
    pairs = zip(block.run.samples_ns.tolist(), block.run.cpus.tolist(), strict=True)
    for sample, (latency_ns, cpu) in enumerate(pairs):
        yield (*start, *rest, sample, True, latency_ns, cpu)


def _heat_rows(result: CampaignResult, heat: HeatRecord) -> Iterator[tuple[Any, ...]]:
    turns, first = heat.turns, heat.turns.turn_first.tolist()
    samples_ns, cpus = turns.samples_ns.tolist(), turns.cpus.tolist()
    start = (*_of_campaign(result), heat.number, heat.attempt, None, None)
    rests = [
        (*_of_arm(result, child.label), child.handicap_ppm, _flags(heat)) for child in heat.children
    ]
    for turn, number in enumerate(turns.turn_child.tolist()):
        for place, sample in enumerate(range(first[turn], first[turn + 1])):
            counts = place >= heat.children[number].discards
            tail = (sample, counts, samples_ns[sample], cpus[sample])
            yield (*start, turn, *rests[number], *tail)


def _of_campaign(result: CampaignResult) -> tuple[str, str]:
    return result.campaign.campaign_id, result.campaign.rules.pairing.value


def _of_arm(result: CampaignResult, label: str) -> tuple[str, str, str, int, str]:
    arm = result.campaign.arm(label)
    return label, arm.artifact_sha256, arm.engine, arm.threads, hex(arm.cpu_mask)


def _flags(run: Block | HeatRecord) -> str:
    return " ".join(sorted(flag.value for flag in run.flags))
