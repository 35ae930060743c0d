"""The walk of a campaign whose variants take turns: a pilot, then heats until the rule says stop.

A heat is some seconds in which one fresh process of every variant is alive; the harness hands the
turns from one to the other on the device, and no process of this computer's has a part in it. The
pilot's times decide how long turns are, by a rule that cannot see the ratio; what it decided is
on record, so a campaign that was interrupted goes on with the same.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence

from android_bench.campaign.bench import Bench, Jobs
from android_bench.campaign.journal import Journal, limits_now, seconds_before, utc_now
from android_bench.campaign.pace import PACE, judge_heats, read_pace
from android_bench.campaign.repeats import MOST_ROUNDS_GIVEN_UP
from android_bench.harness.heat import HeatResult, HeatSchedule, run_heat
from android_bench.harness.job import Job
from android_bench.records import (
    CampaignRecord,
    Flag,
    HeatChild,
    HeatRecord,
    Limits,
    TimedRun,
    TurnSamples,
)
from android_bench.statistics.comparison import collect_heats
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.heat_order import HeatPlan, next_heat
from android_bench.statistics.monitor import Reason, start_monitor
from android_bench.statistics.pace import (
    Pace,
    PilotPlan,
    choose_masks,
    choose_pace,
    describe_pace,
    plan_pilot,
)
from android_bench.statistics.turns import Heat
from pfd_models.errors import DeviceError
from pfd_models.plain_data import to_plain

__all__ = ["run_heats"]

_MOST_SECONDS = 600.0
_DIED = frozenset({Flag.ENGINE_CRASHED, Flag.HARNESS_KILLED})


def choose_campaign_pace(
    bench: Bench, journal: Journal, record: CampaignRecord, jobs: Jobs
) -> Pace:
    """Run the pilot, decide how long turns and heats are, and put that on record.

    Raises:
        DeviceError: The pilot did not come to its end.
    """
    design = record.design
    bench.watch.step("a pilot heat: how long turns must be")
    # One variant alone displaces nothing: its turns follow its twin's.
    labels = design.labels if design.candidates else (design.baseline, design.control_label)
    masks = choose_masks(record.rules.cpu_mask, record.rules.threads)
    jobs = {label: _pin(jobs[label], masks[0] if masks else 0) for label in labels}
    trial = _run_pilot(bench, labels, jobs, PilotPlan(inferences=1, turns=2))
    slowest_s = float(trial.turns.samples_ns.max()) / 1e9
    plan = plan_pilot(len(labels), slowest_s)
    begin = time.monotonic()
    pilot = _run_pilot(bench, labels, jobs, plan)
    start_s = max(0.0, time.monotonic() - begin - _turning_seconds(pilot.turns))
    pace = choose_pace(pilot.turns, start_seconds=start_s)
    bursts = tuple(burst for burst in pace.bursts if burst.label in design.labels)
    pace = dataclasses.replace(pace, bursts=bursts, cpu_masks=masks)
    journal.tell(PACE, describe_pace(pace), data=to_plain(pace))
    bench.watch.step(describe_pace(pace))
    return pace


def _turning_seconds(turns: TurnSamples) -> float:
    """Return the device's time from the first turn to the end of the last."""
    if not len(turns.turn_child):
        return 0.0
    return (int(turns.turn_end_ns[-1]) - int(turns.turn_begin_ns[0])) / 1e9


def _pin(job: Job, cpu_mask: int) -> Job:
    """Return a job on these CPUs; on its own where there are none."""
    return dataclasses.replace(job, cpu_mask=cpu_mask) if cpu_mask else job


def _run_pilot(bench: Bench, labels: Sequence[str], jobs: Jobs, plan: PilotPlan) -> HeatResult:
    """Run a heat in which nobody has two turns in a row."""
    result = run_heat(
        bench.device.harness,
        [jobs[label] for label in labels],
        HeatSchedule(burst=plan.inferences, seconds=0.0, timeout_seconds=_MOST_SECONDS),
        labels=labels,
        order=tuple(range(len(labels))) * plan.turns,
    )
    if result.flags():
        label = labels[result.child or 0]
        who = f"{jobs[label].engine} on {label}" if result.child is not None else "the harness"
        raise DeviceError(f"{who} {result.status.value} in the pilot heat: {result.message}")
    return result


def run_one_heat(
    bench: Bench,
    record: CampaignRecord,
    jobs: Mapping[str, Job],
    plan: HeatPlan,
    limits: Limits,
    *,
    start_seconds: float = 0.0,
) -> HeatRecord:
    """Wait for a calm device and run one heat, watched.

    Args:
        bench: Device, store and who watches.
        record: The campaign.
        jobs: Label to what it runs.
        plan: The heat.
        limits: What the device must be like.
        start_seconds: What it takes until the first turn; a phone is not asked before the turns
            should be over, since each question runs a shell there.
    """
    rules = record.rules
    labels = plan.children
    turning_s = sum(plan.bursts[child].seconds for child in plan.order)
    with bench.device.watch(limits, patience_s=rules.patience_s) as watch:
        started = utc_now()
        result = run_heat(
            bench.device.harness,
            [_pin(jobs[label], plan.cpu_mask) for label in labels],
            HeatSchedule(
                burst=tuple(burst.inferences for burst in plan.bursts),
                seconds=0.0,  # the order is that of the whole heat
                timeout_seconds=_MOST_SECONDS,
            ),
            labels=labels,
            order=plan.order,
            handicaps_ppm=[rules.handicap_ppm.get(label, 0) for label in labels],
            quiet_s=start_seconds + turning_s,
        )
        outside = TimedRun(
            before=result.before, after=result.after, harness_version=record.harness_version
        )
        flags = result.flags() | watch.flags(outside, 0)
    return HeatRecord(
        campaign_id=record.campaign_id,
        number=plan.number,
        attempt=plan.attempt,
        started_utc=started,
        children=tuple(
            HeatChild(
                label=label,
                burst=burst.inferences,
                discards=burst.discards,
                load_ns=child.run.load_ns,
                first_inference_ns=child.run.first_inference_ns,
                warmup_inferences=child.run.warmup_inferences,
                vm_hwm_kib=child.run.vm_hwm_kib,
                handicap_ppm=child.run.handicap_ppm,
            )
            for label, burst, child in zip(labels, plan.bursts, result.children, strict=True)
        ),
        turns=result.turns,
        before=result.before,
        after=result.after,
        flags=flags,
        harness_version=record.harness_version,
    )


def run_heats(bench: Bench, journal: Journal, record: CampaignRecord, jobs: Jobs) -> Reason:
    """Run heats until the campaign's rule or its budget ends it, from where it stands.

    Raises:
        ParityError, DeviceError, OutputError: As `campaign.run_campaign`.
    """
    design, events = record.design, bench.store.events(record.campaign_id)
    heats = list(bench.store.heats(record.campaign_id))
    limits = _for_heats(limits_now(record.rules.limits, events))
    begin = time.monotonic() - seconds_before(events, [heat.after.at_ns for heat in heats])
    pace = read_pace(events) or choose_campaign_pace(bench, journal, record, jobs)
    judged = judge_heats(record, pace, heats)
    monitor, decision = start_monitor(
        design, collect_heats(design, judged), time.monotonic() - begin
    )
    start_s = pace.start_seconds
    while not decision.stop:
        plan = next_heat(design, pace, judged)
        asked = time.monotonic()
        with bench.lock.quiet():  # renewed just before; nothing of ours runs beside a heat
            heat = run_one_heat(bench, record, jobs, plan, limits, start_seconds=start_s)
        # A phone that is asked too late ends late, and one cannot see by how much: the least holds.
        start_s = min(start_s, max(0.0, time.monotonic() - asked - _turning_seconds(heat.turns)))
        bench.store.add_heat(heat)
        heats.append(heat)
        judged += judge_heats(record, pace, [heat])
        gave_up = False
        if is_disturbed(judged[-1]):
            gave_up = next_heat(design, pace, judged).number > plan.number
            _after_disturbance(journal, heats, judged, gave_up=gave_up)
        elapsed_s, good = time.monotonic() - begin, collect_heats(design, judged)
        if len(good) > len(monitor.rounds):
            decision = monitor.update(good[-1], elapsed_s)
        elif gave_up and elapsed_s >= design.budget_seconds:
            decision = dataclasses.replace(decision, reason=Reason.BUDGET, seconds_left=0.0)
        bench.watch.block(len(heats), sum(map(is_disturbed, judged)), decision, elapsed_s)
    return decision.reason


def _for_heats(limits: Limits) -> Limits:
    """Return limits under which load disturbs no heat: it falls on all variants alike."""
    return dataclasses.replace(limits, other_busy=1.0, steal=1.0)


def _after_disturbance(
    journal: Journal, heats: Sequence[HeatRecord], judged: Sequence[Heat], *, gave_up: bool
) -> None:
    """Put a disturbed heat on record.

    Raises:
        DeviceError: An engine died in each attempt, or the device does not come to rest.
    """
    last = heats[-1]
    words = ", ".join(sorted(flag.value for flag in judged[-1].flags))
    what = "it is given up and another is run" if gave_up else "it is run again"
    kind = "gave_up" if gave_up else "repeated"
    journal.tell(kind, f"heat {last.number} was disturbed ({words}): {what}")
    if not gave_up:
        return
    attempts = [heat for heat in heats if heat.number == last.number]
    if all(heat.flags & _DIED for heat in attempts):
        raise DeviceError(
            f"a process died in each of {len(attempts)} attempts at heat {last.number} ({words}): "
            "try the files one by one with --pairing blocks, or another engine"
        )
    last_of_number = {heat.number: heat for heat in judged}  # in order of running
    disturbed = [is_disturbed(heat) for heat in last_of_number.values()][-MOST_ROUNDS_GIVEN_UP:]
    if len(disturbed) == MOST_ROUNDS_GIVEN_UP and all(disturbed):
        raise DeviceError(
            f"{MOST_ROUNDS_GIVEN_UP} heats in a row were disturbed ({words}): let the device come "
            "to rest, then go on with --resume"
        )
