"""All campaigns of one call: one for each contest and number of threads, one after the other.

Each stands alone: one that cannot be measured (a file computes wrongly, an engine crashes on it)
leaves the others as they are, and so does a pass that fails after its campaign. Only a device that
is gone or a store that takes no record ends the call. A call that was interrupted goes on: what is
finished is not measured again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from android_bench.campaign.bench import Bench
from android_bench.campaign.campaign import resume_campaign, run_campaign
from android_bench.campaign.contest import BenchFile, Contest
from android_bench.campaign.extra_passes import run_passes
from android_bench.campaign.failure import Failure
from android_bench.campaign.journal import Journal, utc_now
from android_bench.campaign.record import arms_of, name_campaign, resumable
from android_bench.campaign.result import STOPPED, CampaignResult, read_result
from android_bench.campaign.series_plan import (
    DEFAULTS,
    PRECISION,
    SeriesOptions,
    Todo,
    plan_series,
)
from android_bench.records import CampaignRecord, Pairing, Rules
from android_bench.store import Store
from pfd_models.errors import InputError, PfdError

__all__ = ["Outcome", "compare", "resume_last", "resume_one", "run_series"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one comparison of a call ended.

    Attributes:
        contest: What was to be compared.
        rules: How.
        result: The campaign; None where it could not be measured.
        failures: What failed: the campaign itself, or passes after it.
    """

    contest: Contest
    rules: Rules
    result: CampaignResult | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def ends_the_call(self) -> bool:
        """Whether no later comparison can fare better."""
        return any(failure.ends_the_call for failure in self.failures)


def compare(
    bench: Bench,
    files: Sequence[BenchFile],
    *,
    runtimes: Sequence[str] = (),
    threads: Sequence[int] = (1,),
    cores: str = "auto",
    precision: float = PRECISION,
    budget_seconds: float = DEFAULTS.budget_seconds,
    seed: int | None = None,
    pairing: Pairing | None = None,
) -> Iterator[CampaignResult]:
    """Measure files against each other: a campaign for each network, engine and thread count.

    Args:
        bench: From `open_bench`.
        files: From `find_files`; the variant ``orig``, or else the first, is the baseline.
        runtimes: Names of engines; empty takes every one that runs one of the files.
        threads: A comparison for each number.
        cores: ``auto`` for the fastest cluster, ``any``, or a list as ``4-7``.
        precision: Half-width of the ratio's interval at which measuring stops, as 0.01.
        budget_seconds: Device time of one comparison, after which it stops in any case.
        seed: Of the order of blocks; None draws one.
        pairing: Blocks one after the other, or variants that take turns; None leaves it to
            `choose_pairing`.

    Returns:
        The results, each as its campaign ends.

    Raises:
        PfdError: A comparison failed; the worst of them, after all others were measured.
    """
    options = SeriesOptions(
        runtimes=runtimes,
        threads=threads,
        cores=cores,
        precision=precision,
        budget_seconds=budget_seconds,
        seed=seed,
        pairing=pairing,
    )
    return _results(run_series(bench, plan_series(bench, files, options)))


def _results(outcomes: Iterator[Outcome]) -> Iterator[CampaignResult]:
    errors: list[PfdError] = []
    for outcome in outcomes:
        errors += [failure.error for failure in outcome.failures]
        if outcome.result is not None:
            yield outcome.result
    if errors:
        raise max(errors, key=lambda error: error.exit_status)


def run_series(
    bench: Bench, todo: Todo, *, resume: bool = False, passes: Sequence[str] = ()
) -> Iterator[Outcome]:
    """Measure contests in order, yielding each as it ends.

    Args:
        bench: Device, store and who watches.
        todo: Contests and how to measure each.
        resume: Go on with the newest call in the store: take its finished campaigns as they are
            and its unfinished ones from their next block.
        passes: Names of `extra_passes.PASSES` to run after each campaign.
    """
    batch = (_newest_batch(bench) if resume else "") or secrets.token_hex(8)
    for contest, plain_rules in todo:
        rules = dataclasses.replace(plain_rules, batch=batch)
        outcome = _measure(bench, contest, rules, passes)
        yield outcome
        if outcome.ends_the_call:
            return


def _measure(
    bench: Bench, contest: Contest, rules: Rules, passes: Sequence[str], name: str = ""
) -> Outcome:
    """Run or resume one campaign and its passes; errors are in the outcome.

    Args:
        bench: Device, store and who watches.
        contest: What is compared.
        rules: How.
        passes: To run afterwards.
        name: A campaign that must be gone on with.
    """
    begin = utc_now()
    try:
        result = _run_or_resume(bench, contest, rules, name)
    except PfdError as error:
        _record_failure(bench, contest, rules, name, error, begin)
        failure = Failure(what=contest.name, error=error)
        return Outcome(contest=contest, rules=rules, failures=(failure,))
    failures = run_passes(bench, contest, rules, result, passes)
    if passes:
        result = read_result(bench.store, result.campaign.campaign_id)
    return Outcome(contest=contest, rules=rules, result=result, failures=failures)


def _run_or_resume(bench: Bench, contest: Contest, rules: Rules, name: str) -> CampaignResult:
    if name:
        return resume_campaign(bench, name, contest.files)
    earlier = _find_earlier(bench.store, contest, rules)
    if earlier is None:
        return run_campaign(bench, contest, rules)
    if is_finished(bench.store, earlier):
        bench.watch.step(f"{earlier.name} is measured already ({earlier.campaign_id})")
        return read_result(bench.store, earlier.campaign_id)
    return resume_campaign(bench, earlier.campaign_id, contest.files)


def _record_failure(
    bench: Bench, contest: Contest, rules: Rules, name: str, error: PfdError, begin: str
) -> None:
    """Give the campaign an event ``failed`` where it is on record and has none of this time."""
    with contextlib.suppress(PfdError):  # a full disk takes no event either
        store = bench.store
        record = store.campaign(name) if name else _find_earlier(store, contest, rules)
        if record is None or is_finished(store, record):
            return
        events = store.events(record.campaign_id)
        if not any(event.kind == "failed" and event.at_utc >= begin for event in events):
            Journal(store=store, campaign_id=record.campaign_id).tell("failed", str(error))


def _newest_batch(bench: Bench) -> str:
    for record in reversed(bench.store.campaigns()):
        if record.device_id == bench.device.record.device_id:
            return record.rules.batch
    return ""


def _find_earlier(store: Store, contest: Contest, rules: Rules) -> CampaignRecord | None:
    """Return the campaign of the same call that measures the same files in the same way."""
    arms = arms_of(contest, rules)
    for record in store.campaigns():
        theirs = record.rules
        if record.name != name_campaign(contest, rules):  # the same files once more
            continue
        same_call, same_governor = theirs.batch == rules.batch, theirs.governor == rules.governor
        same_handicap = theirs.handicap_ppm == rules.handicap_ppm
        if same_call and same_governor and same_handicap and record.arms == arms:
            return record
    return None


def is_finished(store: Store, record: CampaignRecord) -> bool:
    """Say whether a campaign's own rule ended it."""
    return any(event.kind == STOPPED for event in store.events(record.campaign_id))


def resume_one(
    bench: Bench, name: str, files: Sequence[BenchFile] = (), passes: Sequence[str] = ()
) -> Outcome:
    """Go on with a campaign that was interrupted, and run its passes.

    Args:
        bench: Device, store and who watches.
        name: Its id, the beginning of it, or ``last``.
        files: Where to look for its files besides the places where they were.
        passes: Names of `extra_passes.PASSES` to run afterwards.

    Raises:
        InputError: It is finished, or its device, harness, governor or files are others now.
        IntegrityError: A file is not the one its manifest describes.
    """
    record, contest = resumable(bench.store, bench.device, name, files)
    if record.rules.governor != bench.governor:
        wanted = record.rules.governor
        raise InputError(
            f"campaign {record.campaign_id} was measured with "
            + (f"--governor {wanted}: give it again" if wanted else "no --governor: leave it out")
        )
    return _measure(bench, contest, record.rules, passes, record.campaign_id)


def resume_last(
    bench: Bench, files: Sequence[BenchFile] = (), passes: Sequence[str] = ()
) -> Outcome:
    """Go on with the newest campaign on this device that was interrupted.

    Raises:
        InputError: There is none; otherwise as `resume_one`.
    """
    for record in reversed(bench.store.campaigns()):
        mine = bench.store.device(record.device_id).serial == bench.device.record.serial
        if mine and not is_finished(bench.store, record):
            return resume_one(bench, record.campaign_id, files, passes)
    raise InputError(
        f"{bench.store.name} has no unfinished campaign of {bench.device.record.model}: start one "
        "with --model or --artifacts"
    )
