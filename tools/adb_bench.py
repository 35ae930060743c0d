"""`python tools/adb_bench.py`: is one variant faster than another, by how much, how sure?

Examples:
    python tools/adb_bench.py --model shufflenetv2 --variant orig,ours
    python tools/adb_bench.py run --artifacts 'artifacts/shufflenetv2_*.pte' --threads 1,2
    python tools/adb_bench.py run --model shufflenetv2 --serial R58M123ABC
    python tools/adb_bench.py devices
    python tools/adb_bench.py list
    python tools/adb_bench.py report last -o report.html
    python tools/adb_bench.py qualify --model shufflenetv2
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager

from rich.console import Console

from android_bench.campaign.campaign import Bench, resume_campaign
from android_bench.campaign.contest import BenchFile, Contest, contests_of, files_of, find_files
from android_bench.campaign.extra_passes import add_memory_pass, add_profile_pass
from android_bench.campaign.qualify import qualify
from android_bench.campaign.result import CampaignResult, read_result
from android_bench.campaign.series import last_unfinished, run_batch
from android_bench.cli.doctor import examine
from android_bench.cli.options import STORE, parse
from android_bench.cli.progress import Display
from android_bench.devices.cpu_choice import choose_cpus
from android_bench.devices.device import Device
from android_bench.devices.opening import open_device
from android_bench.devices.phone.device import open_phone
from android_bench.devices.phone.discovery import look_for_phones, phone_lines, usable_serials
from android_bench.records import Rules
from android_bench.report.console import (
    closing_lines,
    qualify_lines,
    qualify_table,
    render_campaign,
    slower_lines,
    verdict_lines,
)
from android_bench.report.escape import escape_controls
from android_bench.report.json_document import result_json
from android_bench.report.page import report_page
from android_bench.report.tables import campaign_table, summary_table, verdict_table
from android_bench.store import device_lock, open_store
from android_bench.store.sample_export import export_samples
from export import BuildRequest, ZooSource
from export.sets.files import atomic_write
from pfd_models.errors import GateError, PfdError, SpecError


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do what its verb says and return the exit status."""
    lines = {name: verb.__doc__ or "" for name, verb in VERBS.items()}
    options = parse(sys.argv[1:] if arguments is None else arguments, lines)
    try:
        return int(VERBS[options.verb](options))
    except PfdError as error:
        sys.stderr.write(f"error: {escape_controls(str(error), longest=2000)}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: every block so far is kept, --resume goes on\n")
        return 130


# -- verbs that measure ------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """Build what is missing, verify, measure, and print the verdicts."""
    _require_one_choice(options, may_be_none=options.resume is not None)
    with _benches(options) as (benches, display, errors):
        results = _measure_all(options, benches, display, errors)
    _print_results(results)
    _write_json(options, results)
    for line in closing_lines(results, store=None if options.store == STORE else options.store):
        _say(line)
    status = max((error.exit_status for error in errors), default=0)
    return status or _gate(options, results)


def _measure_all(
    options: argparse.Namespace,
    lanes: Sequence[tuple[Bench, Display]],
    display: Display,
    errors: list[PfdError],
) -> list[CampaignResult]:
    """Measure on every device at once, each in a lane of its own; one that fails ends alone."""
    files: tuple[BenchFile, ...] = ()
    if lanes and (options.resume is None or options.model or options.artifacts):
        files = _files(options, *lanes[0])
    if len(lanes) == 1 and not errors:
        results, found = _measure(options, *lanes[0], files)
        errors += found
        return results
    results = []
    with ThreadPoolExecutor(max(1, len(lanes))) as pool:
        futures = [pool.submit(_measure, options, bench, lane, files) for bench, lane in lanes]
        try:
            wait(futures)
        except KeyboardInterrupt:
            display.stop()
            raise
        for (_, lane), future in zip(lanes, futures, strict=True):
            try:
                done, found = future.result()
            except PfdError as error:
                lane.failed(str(error))
                errors.append(error)
            else:
                results += done
                errors += found
    return results


def _measure(
    options: argparse.Namespace, bench: Bench, display: Display, files: tuple[BenchFile, ...]
) -> tuple[list[CampaignResult], list[PfdError]]:
    if options.resume is not None and not (options.model or options.artifacts):
        if options.resume:
            return [resume_campaign(bench, options.resume)], []
        return [last_unfinished(bench)], []
    contests = contests_of(files, bench.device.harness.engines, options.runtime)
    todo = [
        (contest, _rules(options, bench, threads, display))
        for threads in options.threads
        for contest in contests
    ]
    most = sum(rules.budget_seconds for _, rules in todo)
    display.say(f"{len(todo)} comparison{'s' * (len(todo) > 1)}, at most {_time(most)}")
    results, errors = [], []
    for outcome in run_batch(bench, todo, resume=options.resume is not None):
        if outcome.error is not None:
            display.failed(f"{outcome.contest.name}: {outcome.error}")
            errors.append(outcome.error)
            continue
        assert outcome.result is not None
        for line in verdict_lines(outcome.result) if len(todo) > 1 else ():
            display.say(line)
        results.append(_with_passes(options, bench, outcome.contest, outcome.rules, outcome.result))
    return results, errors


def _with_passes(
    options: argparse.Namespace,
    bench: Bench,
    contest: Contest,
    rules: Rules,
    result: CampaignResult,
) -> CampaignResult:
    """Run the passes that were asked for and are not on record."""
    if options.profile and not result.profiles:
        add_profile_pass(bench, contest, rules, result.campaign)
    if options.memory and not result.memory:
        add_memory_pass(bench, contest, rules, result.campaign)
    return read_result(bench.store, result.campaign.campaign_id)


def qualify_verb(options: argparse.Namespace) -> int:
    """Say what this device can resolve, with one file against itself slowed."""
    _require_one_choice(options)
    with _benches(options) as (benches, display, errors):
        bench = _the_only(benches, errors)
        files = _files(options, bench, display)
        contests = contests_of(files, bench.device.harness.engines, options.runtime)
        contest, rules = contests[0], _rules(options, bench, options.threads[0], display)
        _, file = contest.entries[-1]
        most = len(options.handicaps) * rules.budget_seconds
        display.say(f"{len(options.handicaps)} handicaps, at most {_time(most)}")
        runs = list(qualify(bench, file, contest.engine, rules, options.handicaps))
    console = _console()
    console.print(qualify_table(runs))
    for line in qualify_lines(runs):
        _say(line)
    _write_json(options, [run.result for run in runs])
    return 0


def _the_only(benches: Sequence[tuple[Bench, Display]], errors: Sequence[PfdError]) -> Bench:
    """Return the one device that can be qualified."""
    if errors:
        raise errors[0]
    if len(benches) != 1:
        raise SpecError("qualify takes one device at a time: give one --serial")
    ((bench, _),) = benches
    if bench.device.record.emulated:
        raise SpecError(
            f"{bench.device.record.model} is emulated and its times mean nothing: qualify a real "
            "device, or --device host"
        )
    return bench


@contextmanager
def _benches(
    options: argparse.Namespace,
) -> Iterator[tuple[list[tuple[Bench, Display]], Display, list[PfdError]]]:
    """Open every device that was asked for with its lock and store; close them in order.

    Of several devices, one that cannot be opened is among the errors; the only one raises.
    """
    names = _device_names(options)
    errors: list[PfdError] = []
    benches: list[tuple[Bench, Display]] = []
    with Display() as display, ExitStack() as opened:
        for name in names:
            lane = display if len(names) == 1 else display.lane(name)
            try:
                benches.append((_open(options, name, lane, opened), lane))
            except PfdError as error:
                if len(names) == 1:
                    raise
                lane.failed(str(error))
                errors.append(error)
        yield benches, display, errors


def _device_names(options: argparse.Namespace) -> list[str]:
    """Return what the devices are called: host, virtual, or serials."""
    if options.all:
        return usable_serials()
    return options.serial or [options.device]


def _open(options: argparse.Namespace, name: str, lane: Display, opened: ExitStack) -> Bench:
    """Open one device, its store and its lock; they are closed with the stack."""
    store = opened.enter_context(open_store(options.store))
    lane.step("asking the harness on the device, building it where it is missing")
    if options.serial or options.all or name == "virtual":
        device: Device = open_phone(name, target=options.target, say=lane.step)
    else:
        device = open_device(name)
    opened.callback(device.close)
    lock = opened.enter_context(device_lock(store, device.record.serial))
    return Bench(device=device, store=store, lock=lock, watch=lane)


def _rules(options: argparse.Namespace, bench: Bench, threads: int, display: Display) -> Rules:
    cpu_mask = choose_cpus(bench.device, threads, options.cores)
    if options.cores == "auto" and not cpu_mask:
        display.note(
            "nothing is pinned: this emulated phone has only this computer's CPUs "
            f"({','.join(map(str, bench.device.usable_cpus))}), and its fast cores are none of "
            "them; the records say so"
        )
    return Rules(
        threads=threads,
        cpu_mask=cpu_mask,
        precision=options.precision,
        budget_seconds=options.budget,
        seed=options.seed if options.seed is not None else int.from_bytes(os.urandom(4)),
    )


# -- phones ------------------------------------------------------------------------------------


def devices(options: argparse.Namespace) -> int:
    """List the phones that can be seen, and what each lacks for a good measurement."""
    found = look_for_phones()
    for line in phone_lines(found):
        _say(line)
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Try every step of a run on a phone and say, line by line, what worked."""
    names = [name for name in _device_names(options) if name != "host"]
    if len(names) != 1:
        raise SpecError("doctor looks at one phone: give --serial X, or --device virtual")
    if not (options.model or options.artifacts):
        options.model = ["shufflenetv2"]
    _require_one_choice(options)

    def files() -> tuple[BenchFile, ...]:
        with Display() as display:
            return _files(options, None, display)

    worst = 0
    for step in examine(names[0], files, target=options.target):
        _say(step.line)
        worst = max(worst, step.exit_status)
    return worst


# -- what to measure ---------------------------------------------------------------------------


def _files(
    options: argparse.Namespace, bench: Bench | None, display: Display
) -> tuple[BenchFile, ...]:
    """Return the files to measure, built where they are missing."""
    if options.artifacts:
        return find_files(options.artifacts)
    return _built(options, bench, display)


def _require_one_choice(options: argparse.Namespace, *, may_be_none: bool = False) -> None:
    """Refuse a call that does not say what to measure, before anything is built or locked."""
    chosen = bool(options.model) + bool(options.artifacts)
    if chosen == 2 or (chosen == 0 and not may_be_none):
        raise SpecError("say what to measure: --model NAME, or --artifacts 'artifacts/NAME_*.pte'")
    if may_be_none and options.resume and chosen:
        raise SpecError(
            f"--resume {options.resume} names a campaign: leave out --model and --artifacts, or "
            "give --resume alone to go on with all of the last call"
        )


def _built(
    options: argparse.Namespace, bench: Bench | None, display: Display
) -> tuple[BenchFile, ...]:
    """Build the sets that are missing, in processes of their own, so that none loads torch here."""
    from export.sets import publish

    requests = [
        BuildRequest(
            source=ZooSource(
                model=model,
                variant=variant,
                dataset=options.dataset,
                resolution=options.resolution,
            ),
            weights=options.weights,
            out=options.out,
            verbose=options.verbose,
        )
        for model in options.model
        for variant in options.variant
    ]
    found = [publish.find(r.out, r.request_key(), r.formats) for r in requests]
    manifests = [manifest for manifest in found if manifest is not None]
    if len(manifests) < len(requests):
        from export.cli.workers import Workers

        def step(label: str, what: str) -> None:
            display.step(f"building {label}: {what}")

        with Workers(1) as workers:
            display.step("loading the model zoo")
            plan = workers.plan(requests, skip_undefined="all" in options.model)
            for reason in plan.undefined:
                display.say(f"not defined: {reason}")
            made = {}
            for outcome in workers.build_all(plan.requests, step):
                if bench is not None:
                    bench.lock.renew()
                if outcome.error is not None:
                    raise outcome.error
                assert outcome.result is not None
                made[outcome.request.source] = outcome.result.manifest
        manifests = [made[request.source] for request in plan.requests]
    return tuple(file for manifest in manifests for file in files_of(manifest))


# -- verbs on the store ------------------------------------------------------------------------


def compare(options: argparse.Namespace) -> int:
    """Print the verdicts of stored campaigns, each by itself."""
    results = _read(options)
    _print_results(results)
    _write_json(options, results)
    return _gate(options, results)


def list_verb(options: argparse.Namespace) -> int:
    """List the campaigns of a store."""
    with open_store(options.store, create=False) as store:
        _console().print(campaign_table(store.overview()))
    return 0


def show(options: argparse.Namespace) -> int:
    """Print everything about stored campaigns that fits a console."""
    results = _read(options)
    console = _console()
    for result in results:
        for part in render_campaign(result):
            console.print(part, markup=False, emoji=False, soft_wrap=isinstance(part, str))
    _write_json(options, results)
    return 0


def report(options: argparse.Namespace) -> int:
    """Write stored campaigns as one HTML page."""
    atomic_write(options.output, report_page(_read(options)))
    _say(f"{options.output}")
    return 0


def export(options: argparse.Namespace) -> int:
    """Write the raw samples of stored campaigns."""
    with open_store(options.store, create=False) as store:
        rows = export_samples(store, options.campaigns, options.output)
    _say(f"{options.output}: {rows} samples")
    return 0


def _read(options: argparse.Namespace) -> list[CampaignResult]:
    with open_store(options.store, create=False) as store:
        return [read_result(store, name) for name in options.campaigns]


# -- printing ----------------------------------------------------------------------------------


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def _say(text: str) -> None:
    _console().print(escape_controls(text, longest=2000), markup=False, emoji=False, soft_wrap=True)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _print_results(results: Sequence[CampaignResult]) -> None:
    console = _console()
    for result in results:
        console.print(summary_table(result))
    if any(result.comparisons or result.control for result in results):
        console.print(verdict_table(results))
    for result in results:
        for line in verdict_lines(result):
            _say(line)


def _write_json(options: argparse.Namespace, results: Sequence[CampaignResult]) -> None:
    if options.json is not None:
        atomic_write(options.json, result_json(results))


def _gate(options: argparse.Namespace, results: Sequence[CampaignResult]) -> int:
    """Return 1 where an interval says that a variant is slower by more than is allowed."""
    if options.fail_if_slower is None:
        return 0
    lines = slower_lines(results, options.fail_if_slower)
    for line in lines:
        sys.stderr.write(f"error: {line}\n")
    return GateError.exit_status if lines else 0


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "compare": compare,
    "list": list_verb,
    "show": show,
    "report": report,
    "export": export,
    "qualify": qualify_verb,
    "devices": devices,
    "doctor": doctor,
}


if __name__ == "__main__":
    sys.exit(main())
