"""The record of one timed run at its place in a campaign."""

from __future__ import annotations

from android_bench.records import Arm, Block, Flag, TimedRun
from android_bench.statistics.design import BlockPlan

__all__ = ["make_block"]


def make_block(
    run: TimedRun,
    campaign_id: str,
    plan: BlockPlan,
    arm: Arm,
    started_utc: str,
    flags: frozenset[Flag],
) -> Block:
    """Return the record of a timed run; one that broke off gives a block with what there is.

    Args:
        run: What was measured.
        campaign_id: The campaign it belongs to.
        plan: Its place there.
        arm: What it measures.
        started_utc: ISO 8601.
        flags: What disturbed it.
    """
    return Block(
        campaign_id=campaign_id,
        index=plan.index,
        attempt=plan.attempt,
        label=plan.label,
        artifact_sha256=arm.artifact_sha256,
        engine=arm.engine,
        threads=arm.threads,
        cpu_mask=arm.cpu_mask,
        round=plan.round,
        position=plan.position,
        started_utc=started_utc,
        run=run,
        flags=flags,
    )
