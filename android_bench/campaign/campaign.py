"""The walk of a campaign: place, verify, settle, record, then blocks until the rule says stop.

::

    Contest ─▶ placed ─▶ verified ─▶ calm? ─▶ CampaignRecord ─▶ BlockPlan ─▶ Block ─▶ store
                 wrong numerics: stop,                              ▲                   │
                 nothing is timed                                   └──── Decision ◀────┘

What is stored is whole: a block is one transaction, and a host that is killed loses the block
that was running, nothing else. `resume_campaign` goes on with the next one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from android_bench.campaign.blocks import block_of
from android_bench.campaign.calm import raised, raised_text, settle
from android_bench.campaign.contest import BenchFile, Contest, require_version
from android_bench.campaign.journal import Journal, limits_now, seconds_before, utc_now
from android_bench.campaign.limits import Limits, disturbances, wait_until_calm
from android_bench.campaign.record import new_record, resumable
from android_bench.campaign.references import write_references
from android_bench.campaign.repeats import after_giving_up, disturbed_text
from android_bench.campaign.result import STOPPED, CampaignResult, plan_of, read_result
from android_bench.campaign.rules import Rules, rules_of
from android_bench.devices.device import Device
from android_bench.harness.client import run_block, verify
from android_bench.harness.job import VERIFY_LIMIT, Job
from android_bench.harness.result import Verification
from android_bench.records import Block, CampaignRecord, DeviceRecord, Flag
from android_bench.statistics.comparison import collect_rounds
from android_bench.statistics.design import BlockPlan, Design, is_disturbed, next_block
from android_bench.statistics.monitor import Decision, Monitor, Reason
from android_bench.store import Store
from android_bench.store.lock import DeviceLock
from pfd_models.errors import PfdError

__all__ = ["Bench", "Watcher", "placed", "resume_campaign", "run_campaign"]

Jobs = Mapping[str, Job]


class Watcher(Protocol):
    """Hears how a campaign goes; `progress.Display` draws it."""

    def begin(self, record: CampaignRecord, device: DeviceRecord) -> None:
        """Blocks begin to run, for the first time or again."""

    def step(self, text: str) -> None:
        """Something that takes a moment begins."""

    def note(self, text: str) -> None:
        """Something happened that the reader must not miss."""

    def block(self, blocks: int, disturbed: int, decision: Decision, elapsed_s: float) -> None:
        """A block ended; the decision is that of the last complete round."""

    def end(self, reason: Reason) -> None:
        """The campaign's own rule ended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where campaigns run and where they are kept; the device is locked."""

    device: Device
    store: Store
    lock: DeviceLock
    watch: Watcher


def run_campaign(bench: Bench, contest: Contest, rules: Rules) -> CampaignResult:
    """Measure one contest.

    1. Place the files on the device.  2. Verify the outputs of each: a mismatch stops, nothing
    is timed.  3. Wait for a calm device.  4. Record what will be measured.  5. Run blocks until
    the rule says stop.

    Args:
        bench: Device, store and who watches.
        contest: What is compared.
        rules: How.

    Returns:
        The campaign as stored, with what follows from it.

    Raises:
        InputError: A file is of another release, or its engine refuses it.
        ParityError: A file does not compute what its manifest says.
        DeviceError: The device failed, or does not come to rest.
        OutputError: The store cannot take a record.
    """
    with placed(bench.device, contest, rules) as jobs:
        distances = _verify(bench, jobs)
        limits = _settled_limits(bench, rules)
        record = new_record(bench.device, contest, rules)
        files = [file.record for file in contest.files]
        bench.store.add_campaign(record, bench.device.record, files)
        journal = Journal(store=bench.store, campaign_id=record.campaign_id)
        reading = bench.device.read()
        journal.begin("started", "outputs verified", reading, relative_linf=distances)
        _use_limits(bench, journal, rules.limits, limits)
        return _measure(bench, journal, record, rules, jobs)


def resume_campaign(bench: Bench, name: str, files: Sequence[BenchFile] = ()) -> CampaignResult:
    """Go on with a campaign that was interrupted, at its next block.

    Args:
        bench: Device, store and who watches.
        name: Its id, the beginning of it, or ``last``.
        files: Where to look for its files besides the places where they were.

    Raises:
        InputError: It is finished, or its device, harness or files are others now.
        ParityError, DeviceError, OutputError: As `run_campaign`.
    """
    record, contest = resumable(bench.store, bench.device, name, files)
    rules = rules_of(record)
    with placed(bench.device, contest, rules) as jobs:
        distances = _verify(bench, jobs)
        journal = Journal(store=bench.store, campaign_id=record.campaign_id)
        reading = bench.device.read()
        journal.begin("resumed", "outputs verified again", reading, relative_linf=distances)
        return _measure(bench, journal, record, rules, jobs)


# -- before ------------------------------------------------------------------------------------


@contextlib.contextmanager
def placed(device: Device, contest: Contest, rules: Rules) -> Iterator[Jobs]:
    """Bring files and reference data to the device; gives label to what to run there.

    Raises:
        InputError: A file was made for another release, or its reference data are damaged.
        DeviceError: The engine is not available there.
    """
    engine, plan = device.harness.engine(contest.engine), rules.plan(contest.labels)
    with tempfile.TemporaryDirectory(prefix="pfd-bench-") as temporary:
        jobs = {}
        for number, (label, file) in enumerate(contest.entries):
            require_version(file, engine)
            inputs, expected = write_references(file, Path(temporary), f"reference_{number}")
            jobs[label] = Job(
                model=device.place(file.path),
                engine=contest.engine,
                threads=rules.threads,
                cpu_mask=rules.cpu_mask,
                inputs=tuple(device.place(path) for path in inputs),
                expected=tuple(device.place(path) for path in expected),
                limit=max(VERIFY_LIMIT, file.artifact.parity.limit),
            )
        yield {**jobs, plan.control_label: jobs[plan.baseline]}


def _verify(bench: Bench, jobs: Jobs) -> dict[str, float]:
    """Compare every file's outputs with its manifest's; label to the worst relative distance."""
    found: dict[Job, Verification] = {}
    for label, job in jobs.items():
        if job not in found:
            bench.watch.step(f"verifying the outputs of {label}")
            found[job] = verify(bench.device.harness, job)
    return {
        label: max(output.relative_linf for output in found[job].outputs)
        for label, job in jobs.items()
    }


def _settled_limits(bench: Bench, rules: Rules) -> Limits:
    """Return the limits, raised where the device does not become idle."""
    bench.watch.step("waiting for a calm device")
    patience_s = rules.patience_s
    calm = settle(
        bench.device.read, rules.limits, patience_s=patience_s, interval_s=min(1.0, patience_s)
    )
    return raised(rules.limits, [calm.reading]) if calm.unrest else rules.limits


def _use_limits(bench: Bench, journal: Journal, old: Limits, new: Limits) -> None:
    """Say and record that wider limits hold from here on; never silently."""
    if new != old:
        text = raised_text(old, new)
        journal.raised(text, new)
        bench.watch.note(text)


# -- measuring ---------------------------------------------------------------------------------


def _measure(
    bench: Bench, journal: Journal, record: CampaignRecord, rules: Rules, jobs: Jobs
) -> CampaignResult:
    """Run blocks to the end, and leave a word on record however it ends."""
    bench.watch.begin(record, bench.device.record)
    try:
        reason = _run_blocks(bench, journal, record, rules, jobs)
    except KeyboardInterrupt:
        journal.tell("interrupted", "stopped by hand; --resume goes on with it")
        raise
    except PfdError as error:
        with contextlib.suppress(PfdError):  # a full disk takes no event either
            journal.tell("failed", str(error))
        raise
    journal.tell(STOPPED, reason.value)
    bench.watch.end(reason)
    return read_result(bench.store, record.campaign_id)


def _run_blocks(
    bench: Bench, journal: Journal, record: CampaignRecord, rules: Rules, jobs: Jobs
) -> Reason:
    plan, events = plan_of(record), bench.store.events(record.campaign_id)
    blocks = list(bench.store.blocks(record.campaign_id))
    limits = limits_now(rules.limits, events)
    begin = time.monotonic() - seconds_before(events, blocks)
    monitor, decision = _standing(plan, blocks, time.monotonic() - begin)
    while not decision.stop:
        todo = next_block(plan, blocks)
        bench.lock.renew()
        block = _run_block(bench, record, rules, jobs[todo.label], todo, limits)
        bench.store.add_block(block)
        blocks.append(block)
        gave_up = is_disturbed(block) and next_block(plan, blocks).round > todo.round
        if is_disturbed(block):
            limits = _after_disturbance(bench, journal, blocks, limits, gave_up=gave_up)
        elapsed_s, rounds = time.monotonic() - begin, collect_rounds(plan, blocks)
        if len(rounds) > len(monitor.rounds):
            decision = monitor.update(rounds[-1], elapsed_s)
        elif gave_up and elapsed_s >= plan.budget_seconds:
            decision = dataclasses.replace(decision, reason=Reason.BUDGET, seconds_left=0.0)
        bench.watch.block(len(blocks), sum(map(is_disturbed, blocks)), decision, elapsed_s)
    return decision.reason


def _standing(plan: Design, blocks: Sequence[Block], elapsed_s: float) -> tuple[Monitor, Decision]:
    """Where the campaign stands with the rounds it has."""
    if rounds := collect_rounds(plan, blocks):
        monitor = Monitor(plan, rounds[:-1])
        return monitor, monitor.update(rounds[-1], elapsed_s)
    left = plan.budget_seconds - elapsed_s
    return Monitor(plan), Decision(
        reason=Reason.GOES_ON, comparisons=(), control=None, seconds_left=left
    )


def _run_block(
    bench: Bench, record: CampaignRecord, rules: Rules, job: Job, todo: BlockPlan, limits: Limits
) -> Block:
    """Wait for a calm device and run one fresh process."""
    bench.device.cool_down()
    wait_until_calm(bench.device.read, limits, patience_s=rules.patience_s)
    arm, started = record.arm(todo.label), utc_now()
    handicap_ppm = rules.handicap_ppm.get(todo.label, 0)
    result = run_block(bench.device.harness, job, rules.schedule, handicap_ppm=handicap_ppm)
    disturbed: frozenset[Flag] = bench.device.happened()
    if result.before is not None and result.after is not None:
        disturbed |= disturbances(result.before, result.after, result.cpus, arm.cpu_mask, limits)
    return block_of(
        result,
        campaign_id=record.campaign_id,
        plan=todo,
        arm=arm,
        started_utc=started,
        harness_version=record.harness_version,
        extra_flags=disturbed,
    )


def _after_disturbance(
    bench: Bench, journal: Journal, blocks: Sequence[Block], limits: Limits, *, gave_up: bool
) -> Limits:
    """Put a disturbed block on record; return the limits for the next one."""
    line = disturbed_text(blocks[-1], gave_up=gave_up)
    kind = "gave_up" if gave_up else "repeated"
    journal.tell(kind, line, block_index=blocks[-1].index)
    if not gave_up:
        return limits
    wider = after_giving_up(blocks, limits)
    _use_limits(bench, journal, limits, wider)
    return wider
