"""The passes beside timing: time by operator and memory by stage, each in a process of its own.

They come after a campaign, one for each variant, and each stands alone: what an engine cannot
profile says nothing against the times that were measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from android_bench.campaign.bench import Bench, uploaded
from android_bench.campaign.contest import Contest
from android_bench.campaign.failure import Failure
from android_bench.campaign.journal import Journal, utc_now
from android_bench.campaign.result import CampaignResult
from android_bench.harness.client import measure_memory, profile_operators
from android_bench.harness.job import Job
from android_bench.records import CampaignRecord, MemoryRecord, OperatorProfile, Rules
from pfd_models.errors import DeviceError, PfdError

__all__ = ["PASSES", "run_passes"]


def run_passes(
    bench: Bench, contest: Contest, rules: Rules, result: CampaignResult, wanted: Sequence[str]
) -> tuple[Failure, ...]:
    """Run the passes that a finished campaign lacks and store what they find.

    Args:
        bench: Device, store and who watches.
        contest: What the campaign compared.
        rules: How.
        result: The campaign as it is on record.
        wanted: Names of `PASSES`.

    Returns:
        Those that failed; the campaign has an event ``pass_failed`` for each.
    """
    record, failures = result.campaign, []
    missing = [
        (name, label)
        for name in wanted
        for label in contest.labels
        if label not in PASSES[name].labels_done(result)
    ]
    if not missing:
        return ()
    try:
        with uploaded(bench.device, contest, rules) as jobs:
            for name, label in missing:
                try:
                    bench.watch.step(PASSES[name].step.format(label=label))
                    PASSES[name].run(bench, jobs[label], rules, record, label)
                except PfdError as error:
                    failures.append(_tell_failure(bench, record, f"{name} of {label}", error))
                    if failures[-1].ends_the_call:
                        break
    except PfdError as error:  # the files could not be brought there: no pass can run
        failures.append(_tell_failure(bench, record, " and ".join(wanted), error))
    return tuple(failures)


def _tell_failure(bench: Bench, record: CampaignRecord, what: str, error: PfdError) -> Failure:
    with contextlib.suppress(PfdError):  # a full disk takes no event either
        journal = Journal(store=bench.store, campaign_id=record.campaign_id)
        journal.tell("pass_failed", f"{what}: {error}")
    return Failure(what=f"{what}, {record.name}", error=error)


def _profile(bench: Bench, job: Job, rules: Rules, record: CampaignRecord, label: str) -> None:
    result = profile_operators(bench.device.harness, job, rules.schedule)
    profile = OperatorProfile(
        campaign_id=record.campaign_id,
        label=label,
        started_utc=utc_now(),
        operators=result.operators,
        harness_version=record.harness_version,
    )
    bench.store.add_profile(profile)


def _measure_memory(
    bench: Bench, job: Job, rules: Rules, record: CampaignRecord, label: str
) -> None:
    bare = dataclasses.replace(job, expected=())  # comparing needs memory too
    result = measure_memory(bench.device.harness, bare, rules.schedule)
    if result.run.vm_hwm_kib is None:
        raise DeviceError(f"the system does not tell the memory of {label}: no record")
    memory = MemoryRecord(
        campaign_id=record.campaign_id,
        label=label,
        started_utc=utc_now(),
        vm_hwm_kib=result.run.vm_hwm_kib,
        rss_kib=result.vm_rss_kib,
        harness_version=record.harness_version,
    )
    bench.store.add_memory(memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """A kind of pass.

    Attributes:
        step: What the reader is told while it runs; ``{label}`` stands for the variant.
        run: Runs it for one variant and stores what it finds.
        labels_done: Gives the variants that have it on record.
    """

    step: str
    run: Callable[[Bench, Job, Rules, CampaignRecord, str], None]
    labels_done: Callable[[CampaignResult], set[str]]


PASSES: Mapping[str, _Pass] = {
    "profile": _Pass(
        step="profiling the operators of {label}",
        run=_profile,
        labels_done=lambda result: {profile.label for profile in result.profiles},
    ),
    "memory": _Pass(
        step="measuring the memory of {label}",
        run=_measure_memory,
        labels_done=lambda result: {memory.label for memory in result.memory},
    ),
}
