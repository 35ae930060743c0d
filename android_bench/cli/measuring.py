"""What the verbs that measure do in each lane, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from android_bench.campaign.contest import BenchFile
from android_bench.campaign.opening import STORE
from android_bench.campaign.qualify import judge_campaign, qualify
from android_bench.campaign.result import CampaignResult
from android_bench.campaign.series import (
    Outcome,
    resume_last,
    resume_one,
    run_series,
)
from android_bench.campaign.series_plan import SeriesOptions, plan_series
from android_bench.cli.interruption import INTERRUPTED
from android_bench.cli.lanes import Lane, Lanes, Measured
from android_bench.cli.printing import (
    check_slower,
    format_time,
    print_error,
    print_line,
    print_table,
    write_json,
)
from android_bench.report.console import (
    closing_lines,
    qualify_lines,
    qualify_table,
    verdict_lines,
)
from pfd_models.errors import PfdError, SpecError

__all__ = [
    "compare_files",
    "conclude",
    "print_qualified",
    "qualify_last",
    "require_one_real_device",
    "resume_earlier",
]


def compare_files(
    lane: Lane,
    files: Sequence[BenchFile],
    how: SeriesOptions,
    *,
    passes: Sequence[str] = (),
    resume: bool = False,
) -> Iterator[Outcome]:
    """Measure everything that the files give on one device.

    Args:
        lane: The device.
        files: What is measured.
        how: How.
        passes: Names of `extra_passes.PASSES` to run after each campaign.
        resume: Whether to go on with the newest call.
    """
    todo = plan_series(lane.bench, files, how)
    most = format_time(sum(rules.budget_seconds for _, rules in todo))
    lane.display.say(f"{len(todo)} comparison{'s' * (len(todo) > 1)}, at most {most}")
    outcomes = run_series(lane.bench, todo, resume=resume, passes=passes)
    for number, outcome in enumerate(outcomes, start=1):
        if outcome.result is not None and len(todo) > 1:
            for line in verdict_lines(outcome.result):
                lane.display.say(line)
        yield outcome
        if outcome.ends_the_call and number < len(todo):
            left = len(todo) - number
            lane.display.note(f"{left} more not begun; the same command with --resume goes on")


def resume_earlier(lane: Lane, name: str, passes: Sequence[str]) -> Iterator[Outcome]:
    """Go on with a campaign, or with the newest unfinished one where none is named."""
    if name:
        yield resume_one(lane.bench, name, passes=passes)
    else:
        yield resume_last(lane.bench, passes=passes)


def qualify_last(
    lanes: Lanes,
    files: Sequence[BenchFile],
    how: SeriesOptions,
    handicaps: Sequence[float],
    *,
    repeats: int,
    resume: bool,
) -> None:
    """Run the last variant of the first comparison against itself, slowed."""
    bench = lanes.open[0].bench
    contest, rules = plan_series(bench, files, how)[0]
    _, file = contest.entries[-1]
    most = format_time(len(handicaps) * repeats * rules.budget_seconds)
    times = f", {repeats} times each" if repeats > 1 else ""
    lanes.display.say(f"{len(handicaps)} handicaps{times}, at most {most}")
    outcomes = qualify(
        bench, file, contest.engine, rules, handicaps, repeats=repeats, resume=resume
    )
    lanes.follow(lambda lane: outcomes)


def require_one_real_device(lanes: Lanes) -> None:
    """Refuse to qualify several devices at once, or an emulator.

    Raises:
        SpecError: What is open is not one device whose times mean something.
    """
    if len(lanes.open) + len(lanes.errors) != 1:
        raise SpecError("qualify takes one device at a time: give one --serial")
    record = lanes.open[0].bench.device.record
    if record.emulated:
        raise SpecError(
            f"{record.model} is emulated and its times mean nothing: qualify a real device, or "
            "--device host"
        )


def print_qualified(results: Sequence[CampaignResult]) -> None:
    """Print what a device can resolve, as far as it was found out."""
    if results:
        runs = [judge_campaign(result) for result in results]
        print_table(qualify_table(runs))
        for line in qualify_lines(runs):
            print_line(line)


def conclude(
    measured: Measured,
    show: Callable[[Sequence[CampaignResult]], None],
    *,
    store: str,
    json: Path | None,
    fail_if_slower: float | None = None,
) -> int:
    """Print what is finished, however measuring ended; return the status of the worst.

    Args:
        measured: What came of it.
        show: Prints results.
        store: Where they are.
        json: Where to write them as JSON as well.
        fail_if_slower: The slow-down that is allowed, as a share.
    """
    results, statuses = measured.results, [error.exit_status for error in measured.errors]
    show(results)
    try:
        if results or not measured.is_interrupted:
            write_json(json, results)
    except PfdError as error:
        print_error(str(error))
        statuses.append(error.exit_status)
    for line in closing_lines(results, store=None if store == STORE else store):
        print_line(line)
    statuses.append(check_slower(results, fail_if_slower))
    if measured.is_interrupted:
        kept = ": what is measured so far is kept, --resume goes on" if measured.has_begun else ""
        sys.stderr.write(f"interrupted{kept}\n")
        return INTERRUPTED
    if isinstance(measured.untold, PfdError):
        if str(measured.untold) not in map(str, measured.errors):  # as a disk that is still full
            print_error(str(measured.untold))
        statuses.append(measured.untold.exit_status)
    elif measured.untold is not None:
        raise measured.untold
    return max(statuses)
