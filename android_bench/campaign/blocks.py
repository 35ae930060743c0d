"""The record of one timed run, made of what the harness told and the plan asked for."""

from __future__ import annotations

from android_bench.harness.result import HarnessResult
from android_bench.records import Arm, Block, Flag, Reading
from android_bench.statistics.design import BlockPlan

__all__ = ["block_of"]


def block_of(
    result: HarnessResult,
    *,
    campaign_id: str,
    plan: BlockPlan,
    arm: Arm,
    started_utc: str,
    harness_version: str,
    extra_flags: frozenset[Flag] = frozenset(),
) -> Block:
    """Return the record of a timed run; one that broke off gives a block with what there is.

    Args:
        result: What ran.
        campaign_id: The campaign it belongs to.
        plan: Its place in the campaign.
        arm: What it measures.
        started_utc: ISO 8601.
        harness_version: As `Harness.version`; a run that broke off may not have told it.
        extra_flags: What the readings or the host add.
    """
    before = result.before or Reading(at_ns=result.began_ns)
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
        samples_ns=result.samples_ns,
        cpus=result.cpus,
        load_ns=result.load_ns,
        first_inference_ns=result.first_inference_ns,
        warmup_inferences=result.warmup_inferences,
        vm_hwm_kib=result.peak_kib,
        before=before,
        after=result.after or Reading(at_ns=max(before.at_ns, result.ended_ns)),
        flags=result.flags(arm.cpu_mask) | extra_flags,
        handicap_ppm=result.handicap_ppm,
        harness_version=harness_version,
    )
