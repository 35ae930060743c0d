"""`pfd-bench`: is one variant faster than another, by how much, how sure?

Examples:
    pfd-bench --model shufflenetv2 --variant orig,ours
    pfd-bench run --artifacts 'artifacts/shufflenetv2_*.pte' --threads 1,2
    pfd-bench run --model shufflenetv2 --serial R58M123ABC
    pfd-bench devices
    pfd-bench list
    pfd-bench report last -o report.html
    pfd-bench qualify --model shufflenetv2
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence

from android_bench.campaign.contest import BenchFile
from android_bench.campaign.extra_passes import PASSES
from android_bench.campaign.result import CampaignResult, read_result
from android_bench.cli.artifacts import find_or_build
from android_bench.cli.doctor import examine
from android_bench.cli.interruption import run_verb
from android_bench.cli.lanes import Lanes, measure
from android_bench.cli.measuring import (
    compare_files,
    conclude,
    print_qualified,
    qualify_last,
    require_one_real_device,
    resume_earlier,
)
from android_bench.cli.options import (
    parse,
    read_artifact_choice,
    read_device_choice,
    read_series_options,
)
from android_bench.cli.printing import (
    check_slower,
    print_error,
    print_line,
    print_results,
    print_table,
    write_json,
)
from android_bench.cli.progress import Display
from android_bench.devices.phone.cache import clean_cache
from android_bench.devices.phone.choice import open_transport
from android_bench.devices.phone.discovery import look_for_phones, phone_lines
from android_bench.native_build.build import main as build_main
from android_bench.report.console import render_campaign
from android_bench.report.exports import export_campaigns, guess_format
from android_bench.report.litert_leaderboard import read_leaderboard
from android_bench.report.page import report_page
from android_bench.report.tables import campaign_table
from android_bench.store import open_store
from pfd_models.errors import PfdError, SpecError
from pfd_models.files import atomic_write

__all__ = ["main"]

Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do what its verb says and return the exit status."""
    lines = {name: verb.__doc__ or "" for name, verb in VERBS.items()}
    options = parse(sys.argv[1:] if arguments is None else arguments, lines)
    return run_verb(VERBS[options.verb], options)


# -- verbs that measure ------------------------------------------------------------------------


def run(options: Options) -> int:
    """Build what is missing, verify, measure, and print the verdicts."""
    choice, how = read_artifact_choice(options), read_series_options(options)
    passes = [name for name in PASSES if getattr(options, name)]
    if options.resume and not choice.is_empty:
        raise SpecError(
            f"--resume {options.resume} names a campaign: leave out --model and --artifacts, or "
            "give --resume alone to go on with all of the last call"
        )
    resume = options.resume is not None
    if not (resume and choice.is_empty):
        choice.require_one()

    def work(lanes: Lanes) -> None:
        if choice.is_empty:
            lanes.follow(lambda lane: resume_earlier(lane, options.resume, passes))
        elif lanes.open:
            files = find_or_build(choice, lanes.display, lanes.keep_alive)
            lanes.follow(lambda lane: compare_files(lane, files, how, passes=passes, resume=resume))

    return conclude(
        measure(read_device_choice(options), options.store, work),
        print_results,
        store=options.store,
        json=options.json,
        fail_if_slower=options.fail_if_slower,
    )


def qualify(options: Options) -> int:
    """Say what this device can resolve, with one file against itself slowed."""
    choice, how = read_artifact_choice(options), read_series_options(options)
    choice.require_one()

    def work(lanes: Lanes) -> None:
        require_one_real_device(lanes)
        files = find_or_build(choice, lanes.display, lanes.keep_alive)
        qualify_last(
            lanes, files, how, options.handicaps, repeats=options.repeats, resume=options.resume
        )

    measured = measure(read_device_choice(options), options.store, work)
    return conclude(measured, print_qualified, store=options.store, json=options.json)


# -- phones and the harness --------------------------------------------------------------------


def devices(options: Options) -> int:
    """List the phones that can be seen, and what each lacks for a good measurement."""
    for line in phone_lines(look_for_phones()):
        print_line(line)
    return 0


def doctor(options: Options) -> int:
    """Try every step of a run on a phone and say, line by line, what worked."""
    serials = read_device_choice(options).find_serials()
    if len(serials) != 1:
        raise SpecError("doctor looks at one phone: give --serial X, or --device virtual")
    choice = read_artifact_choice(options)
    if choice.is_empty:
        choice = dataclasses.replace(choice, models=("shufflenetv2",))
    choice.require_one()

    def find() -> tuple[BenchFile, ...]:
        with Display() as display:
            return find_or_build(choice, display, lambda: None)

    worst = 0
    for step in examine(serials[0], find, target=options.target):
        print_line(step.line)
        worst = max(worst, step.exit_status)
    return worst


def clean(options: Options) -> int:
    """Remove from phones what the bench keeps there: harness, models and what was left over."""
    serials = read_device_choice(options).find_serials()
    if not serials:
        raise SpecError("clean tidies phones: give --serial X, or --device virtual")
    worst = 0
    for serial in serials:
        try:
            with contextlib.closing(open_transport(serial)) as transport:
                freed = clean_cache(transport)
        except PfdError as error:
            print_error(str(error))
            worst = max(worst, error.exit_status)
        else:
            print_line(f"{serial}: {freed.files} files removed, {freed.size_bytes / 1e6:.1f} MB")
    return worst


def build(options: Options) -> int:
    """Build the native harness, or say that it is there already."""
    return build_main(["--target", options.target])


# -- verbs on the store ------------------------------------------------------------------------


def compare(options: Options) -> int:
    """Print the verdicts of stored campaigns, each by itself."""
    results = _read(options)
    print_results(results)
    write_json(options.json, results)
    return check_slower(results, options.fail_if_slower)


def list_campaigns(options: Options) -> int:
    """List the campaigns of a store."""
    with open_store(options.store, create=False) as store:
        print_table(campaign_table(store.overview()))
    return 0


def show(options: Options) -> int:
    """Print everything about stored campaigns that fits a console."""
    results = _read(options)
    for result in results:
        for part in render_campaign(result):
            if isinstance(part, str):
                print_line(part)
            else:
                print_table(part)
    write_json(options.json, results)
    return 0


def report(options: Options) -> int:
    """Write stored campaigns as one HTML page."""
    results = _read(options)
    with open_store(options.store, create=False) as store:
        files = {sha256: None for result in results for sha256 in result.artifacts}
        counts = [count for sha256 in files for count in store.arm_counts(sha256)]
        foreign = store.foreign()
    atomic_write(options.output, report_page(results, counts=counts, foreign=foreign))
    print_line(f"{options.output}")
    return 0


def export(options: Options) -> int:
    """Write stored campaigns in a format that another tool reads."""
    name = options.format or guess_format(options.output)
    for path in export_campaigns(_read(options), name, options.output):
        print_line(f"{path}")
    return 0


def import_foreign(options: Options) -> int:
    """Keep results that others published, to stand beside ours in reports."""
    found = read_leaderboard(options.litert_leaderboard)
    with open_store(options.store) as store:
        new = store.add_foreign(found)
    print_line(
        f"{options.litert_leaderboard}: {len(found)} rows, {new} of them new; a report shows those "
        "of the networks it is about, as results of others"
    )
    return 0


def _read(options: Options) -> list[CampaignResult]:
    with open_store(options.store, create=False) as store:
        return [read_result(store, name) for name in options.campaigns]


VERBS: dict[str, Callable[[Options], int]] = {
    "run": run,
    "compare": compare,
    "list": list_campaigns,
    "show": show,
    "report": report,
    "export": export,
    "import": import_foreign,
    "qualify": qualify,
    "devices": devices,
    "doctor": doctor,
    "build": build,
    "clean": clean,
}
