"""All campaigns of one call: one for each contest and number of threads, one after the other.

A campaign that cannot be measured (a file computes wrongly, an engine refuses it) does not end
the others; a device or a disk that fails does. A call that was interrupted goes on: what is
finished is not measured again.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from android_bench.campaign.campaign import Bench, resume_campaign, run_campaign
from android_bench.campaign.contest import BenchFile, Contest
from android_bench.campaign.record import arms_of
from android_bench.campaign.result import STOPPED, CampaignResult, read_result
from android_bench.records import CampaignRecord, Rules
from android_bench.store import Store
from pfd_models.errors import DeviceError, InputError, OutputError, PfdError

__all__ = ["Outcome", "last_unfinished", "new_batch", "run_batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one campaign of a call ended.

    Attributes:
        contest: What was to be compared.
        rules: How.
        result: The campaign; None after an error.
        error: Why there is none.
    """

    contest: Contest
    rules: Rules
    result: CampaignResult | None = None
    error: PfdError | None = None


def new_batch() -> str:
    """Return what the campaigns of a new call have in common."""
    return secrets.token_hex(8)


def run_batch(
    bench: Bench, todo: Sequence[tuple[Contest, Rules]], *, resume: bool = False
) -> Iterator[Outcome]:
    """Measure contests in order, yielding each as it ends.

    Args:
        bench: Device, store and who watches.
        todo: Contests and how to measure each.
        resume: Go on with the newest call in the store: take its finished campaigns as they are
            and its unfinished ones from their next block.

    Raises:
        DeviceError: The device failed.
        OutputError: The store cannot take a record.
    """
    batch = (_newest_batch(bench) if resume else "") or new_batch()
    for contest, plain_rules in todo:
        rules = dataclasses.replace(plain_rules, batch=batch)
        try:
            result = _run(bench, contest, rules)
        except (DeviceError, OutputError):
            raise
        except PfdError as error:
            yield Outcome(contest=contest, rules=rules, error=error)
        else:
            yield Outcome(contest=contest, rules=rules, result=result)


def _run(bench: Bench, contest: Contest, rules: Rules) -> CampaignResult:
    earlier = _earlier(bench.store, contest, rules)
    if earlier is None:
        return run_campaign(bench, contest, rules)
    if is_finished(bench.store, earlier):
        bench.watch.step(f"{earlier.name} is measured already ({earlier.campaign_id})")
        return read_result(bench.store, earlier.campaign_id)
    return resume_campaign(bench, earlier.campaign_id, contest.files)


def _newest_batch(bench: Bench) -> str:
    for record in reversed(bench.store.campaigns()):
        if record.device_id == bench.device.record.device_id:
            return record.rules.batch
    return ""


def _earlier(store: Store, contest: Contest, rules: Rules) -> CampaignRecord | None:
    """Return the campaign of the same call that measures the same files in the same way."""
    arms = arms_of(contest, rules)
    for record in store.campaigns():
        if record.rules.batch == rules.batch and record.arms == arms:
            return record
    return None


def is_finished(store: Store, record: CampaignRecord) -> bool:
    """Say whether a campaign's own rule ended it."""
    return any(event.kind == STOPPED for event in store.events(record.campaign_id))


def last_unfinished(bench: Bench, files: Sequence[BenchFile] = ()) -> CampaignResult:
    """Go on with the newest campaign on this device that was interrupted.

    Raises:
        InputError: There is none; otherwise as `resume_campaign`.
    """
    for record in reversed(bench.store.campaigns()):
        mine = bench.store.device(record.device_id).serial == bench.device.record.serial
        if mine and not is_finished(bench.store, record):
            return resume_campaign(bench, record.campaign_id, files)
    raise InputError(
        f"{bench.store.name} has no unfinished campaign of {bench.device.record.model}: start one "
        "with --model or --artifacts"
    )
