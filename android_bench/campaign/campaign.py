"""The walk of a campaign: upload, verify, settle, record, then blocks until the rule says stop.

::

    Contest ─▶ uploaded ─▶ verified ─▶ calm? ─▶ CampaignRecord ─▶ BlockPlan ─▶ Block ─▶ store
                   wrong numerics: stop,                              ▲                   │
                   nothing is timed                                   └──── Decision ◀────┘

What is stored is whole: a block is one transaction, and a host that is killed loses the block
that was running, nothing else. `resume_campaign` goes on with the next one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence

from android_bench.campaign.bench import Bench, Jobs, uploaded
from android_bench.campaign.blocks import make_block
from android_bench.campaign.calm import settle
from android_bench.campaign.contest import BenchFile, Contest
from android_bench.campaign.heats import run_heats
from android_bench.campaign.journal import Journal, limits_now, seconds_before, utc_now
from android_bench.campaign.limits import (
    choose_start,
    describe_start,
    describe_wider,
    widen_limits,
)
from android_bench.campaign.record import new_record, resumable
from android_bench.campaign.repeats import after_giving_up, disturbed_text
from android_bench.campaign.result import STOPPED, CampaignResult, read_result
from android_bench.harness.client import run_block, verify
from android_bench.harness.job import Job
from android_bench.harness.result import Verification
from android_bench.records import (
    Block,
    CampaignRecord,
    Limits,
    Pairing,
    Reading,
    Rules,
)
from android_bench.statistics.comparison import collect_rounds
from android_bench.statistics.design import BlockPlan, is_disturbed, next_block
from android_bench.statistics.monitor import Reason, start_monitor
from pfd_models.errors import PfdError

__all__ = ["resume_campaign", "run_campaign"]


def run_campaign(bench: Bench, contest: Contest, rules: Rules) -> CampaignResult:
    """Measure one contest.

    1. Upload the files to the device.  2. Verify the outputs of each: a mismatch stops, nothing
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
    idle = bench.device.read()  # before anything of ours warms it
    with uploaded(bench.device, contest, rules) as jobs:
        found = _verify(bench, jobs)
        limits = choose_start(rules.limits, idle, bench.device.record)
        wider = _settle(bench, limits, rules)
        record = new_record(bench.device, contest, rules)
        files = [file.record for file in contest.files]
        bench.store.add_campaign(record, bench.device.record, files)
        journal = Journal(store=bench.store, campaign_id=record.campaign_id)
        reading = bench.device.read()
        message = _describe_verified("outputs verified", contest, found)
        journal.begin("started", message, reading, relative_linf=_distances(found))
        _use_start(journal, rules.limits, limits, idle)
        _use_wider(bench, journal, limits, wider)
        return _measure(bench, journal, record, jobs)


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
    with uploaded(bench.device, contest, record.rules) as jobs:
        found = _verify(bench, jobs)
        journal = Journal(store=bench.store, campaign_id=record.campaign_id)
        reading = bench.device.read()
        message = _describe_verified("outputs verified again", contest, found)
        journal.begin("resumed", message, reading, relative_linf=_distances(found))
        return _measure(bench, journal, record, jobs)


# -- before ------------------------------------------------------------------------------------


def _verify(bench: Bench, jobs: Jobs) -> dict[str, Verification]:
    """Compare every file's outputs with its manifest's, by label."""
    found: dict[Job, Verification] = {}
    for label, job in jobs.items():
        if job not in found:
            bench.watch.step(f"verifying the outputs of {label}")
            found[job] = verify(bench.device.harness, job)
    return {label: found[job] for label, job in jobs.items()}


def _distances(found: Mapping[str, Verification]) -> dict[str, float]:
    return {label: max(o.relative_linf for o in one.outputs) for label, one in found.items()}


def _describe_verified(words: str, contest: Contest, found: Mapping[str, Verification]) -> str:
    """Add how many of its output's steps an 8-bit file is off the integer reference."""
    steps = [
        f"{label} {count:.2g}"
        for label, file in contest.entries
        if (count := _count_steps(file, found[label])) is not None
    ]
    return f"{words}; steps off the integer reference: {', '.join(steps)}" if steps else words


def _count_steps(file: BenchFile, found: Verification) -> float | None:
    """Return the worst output's distance in what one of its integers stands for."""
    record = file.manifest.quantization
    if record is None:
        return None
    return max(
        output.relative_linf * output.max_expected / (scale if spec.scale is None else 1.0)
        for output, spec, (scale, _) in zip(
            found.outputs, file.artifact.outputs, record.outputs, strict=True
        )
    )


def _settle(bench: Bench, limits: Limits, rules: Rules) -> Limits:
    """Wait for a calm device; return the limits, wider where it does not become idle."""
    if rules.pairing is Pairing.TURNS:  # what others do to the device falls on all variants alike
        return limits
    bench.watch.step("waiting for a calm device")
    patience_s = rules.patience_s
    calm = settle(bench.device.read, limits, patience_s=patience_s, interval_s=min(1.0, patience_s))
    return widen_limits(limits, [calm.reading]) if calm.load else limits


def _use_start(journal: Journal, asked: Limits, chosen: Limits, idle: Reading) -> None:
    """Record when blocks may start, where the device decided it."""
    if chosen != asked:
        journal.tell_limits("start_chosen", describe_start(chosen, idle), chosen)


def _use_wider(bench: Bench, journal: Journal, old: Limits, new: Limits) -> None:
    """Say and record that wider limits hold from here on; never silently."""
    if new != old:
        text = describe_wider(old, new)
        journal.tell_limits("limits_raised", text, new)
        bench.watch.note(text)


# -- measuring ---------------------------------------------------------------------------------


def _measure(bench: Bench, journal: Journal, record: CampaignRecord, jobs: Jobs) -> CampaignResult:
    """Run blocks to the end, and leave a word on record however it ends."""
    bench.watch.begin(record, bench.device.record)
    try:
        run = run_heats if record.rules.pairing is Pairing.TURNS else _run_blocks
        reason = run(bench, journal, record, jobs)
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


def _run_blocks(bench: Bench, journal: Journal, record: CampaignRecord, jobs: Jobs) -> Reason:
    design, events = record.design, bench.store.events(record.campaign_id)
    blocks = list(bench.store.blocks(record.campaign_id))
    limits = limits_now(record.rules.limits, events)
    begin = time.monotonic() - seconds_before(events, [b.run.after.at_ns for b in blocks])
    monitor, decision = start_monitor(
        design, collect_rounds(design, blocks), time.monotonic() - begin
    )
    while not decision.stop:
        todo = next_block(design, blocks)
        with bench.lock.quiet():  # renewed just before; nothing of ours runs beside a timed block
            block = _run_block(bench, record, jobs[todo.label], todo, limits)
        bench.store.add_block(block)
        blocks.append(block)
        gave_up = is_disturbed(block) and next_block(design, blocks).round > todo.round
        if is_disturbed(block):
            limits = _after_disturbance(bench, journal, blocks, limits, gave_up=gave_up)
        elapsed_s, rounds = time.monotonic() - begin, collect_rounds(design, blocks)
        if len(rounds) > len(monitor.rounds):
            decision = monitor.update(rounds[-1], elapsed_s)
        elif gave_up and elapsed_s >= design.budget_seconds:
            decision = dataclasses.replace(decision, reason=Reason.BUDGET, seconds_left=0.0)
        bench.watch.block(len(blocks), sum(map(is_disturbed, blocks)), decision, elapsed_s)
    return decision.reason


def _run_block(
    bench: Bench, record: CampaignRecord, job: Job, todo: BlockPlan, limits: Limits
) -> Block:
    """Wait for a calm device and run one fresh process, watched."""
    rules, arm = record.rules, record.arm(todo.label)
    with bench.device.watch(limits, patience_s=rules.patience_s) as watch:
        started = utc_now()
        result = run_block(
            bench.device.harness,
            job,
            rules.schedule,
            handicap_ppm=rules.handicap_ppm.get(todo.label, 0),
            pause_ppm=max(rules.handicap_ppm.values(), default=0),
        )
        flags = result.flags() | watch.flags(result.run, arm.cpu_mask)
    return make_block(result.run, record.campaign_id, todo, arm, started, flags)


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
    _use_wider(bench, journal, limits, wider)
    return wider
