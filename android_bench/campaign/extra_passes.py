"""The passes beside timing: memory by stage and time by operator, each in a process of its own."""

from __future__ import annotations

import dataclasses

from android_bench.campaign.campaign import Bench, uploaded
from android_bench.campaign.contest import Contest
from android_bench.campaign.journal import utc_now
from android_bench.harness.client import measure_memory, profile_operators
from android_bench.records import CampaignRecord, MemoryRecord, OperatorProfile, Rules
from pfd_models.errors import DeviceError

__all__ = ["add_memory_pass", "add_profile_pass"]


def add_profile_pass(bench: Bench, contest: Contest, rules: Rules, record: CampaignRecord) -> None:
    """Profile every variant of a campaign and store what each operator takes.

    Raises:
        InputError, DeviceError, OutputError: As `run_campaign`.
    """
    with uploaded(bench.device, contest, rules) as jobs:
        for label in contest.labels:
            bench.watch.step(f"profiling the operators of {label}")
            result = profile_operators(bench.device.harness, jobs[label], rules.schedule)
            profile = OperatorProfile(
                campaign_id=record.campaign_id,
                label=label,
                started_utc=utc_now(),
                operators=result.operators,
                harness_version=record.harness_version,
            )
            bench.store.add_profile(profile)


def add_memory_pass(bench: Bench, contest: Contest, rules: Rules, record: CampaignRecord) -> None:
    """Measure the memory of every variant of a campaign by stage.

    Raises:
        InputError, DeviceError, OutputError: As `run_campaign`.
    """
    with uploaded(bench.device, contest, rules) as jobs:
        for label in contest.labels:
            bench.watch.step(f"measuring the memory of {label}")
            job = dataclasses.replace(jobs[label], expected=())  # comparing needs memory too
            result = measure_memory(bench.device.harness, job, rules.schedule)
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
