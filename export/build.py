"""`python -m export.build`: from a model's name to shippable, verified files.

Examples:
    python -m export.build --model shufflenetv2 --variant ours
    python -m export.build --model all --variant orig,ours --jobs 2
    python -m export.build --module my_pkg.my_file:factory --input 1,3,224,224 --padding-free
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from export.check.command import check_on_gpu
from export.cli.options import parse_options
from export.cli.progress import Display, print_results
from export.cli.requests import parse_requests
from export.cli.sensitivity import analyse_all
from export.cli.workers import Outcome, Workers
from export.pipeline import BuildResult
from export.request.request import BuildRequest
from export.request.source import ZooSource
from export.sets import publish
from pfd_models.errors import PfdError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, build, print the table and return the exit status."""
    begin = time.perf_counter()
    options = parse_options(arguments)
    try:
        return _run(options, begin)
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: finished sets are kept, the same command goes on\n")
        return 130


def _run(options: argparse.Namespace, begin: float) -> int:
    outcomes = _build(options, parse_requests(options), begin)
    if options.sensitivity:
        analyse_all([o.request for o in outcomes if o.error is None])
    return max([_check(options, outcomes), *map(_exit_status, outcomes)])


def _check(options: argparse.Namespace, outcomes: Sequence[Outcome]) -> int:
    """Check the sets that were made as --check says, and return the worst exit status."""
    if options.check is None:
        return 0
    return check_on_gpu(o.result.manifest for o in outcomes if o.result is not None)


def _build(
    options: argparse.Namespace, requests: Sequence[BuildRequest], begin: float
) -> list[Outcome]:
    unchanged = _find_unchanged(requests)
    if len(unchanged) == len(requests):  # answered without loading torch
        print_results(unchanged, (), time.perf_counter() - begin)
        return unchanged
    jobs = options.jobs or _default_jobs(requests)
    with Workers(jobs) as workers, Display() as display:
        display.step("", "loading the model zoo")
        plan = workers.plan(requests, skip_undefined=options.model == "all")
        display.begin(len(plan.requests))
        outcomes = []
        for outcome in workers.build_all(plan.requests, display.step):
            display.end(outcome)
            outcomes.append(outcome)
    order = {(r.source, r.precision): i for i, r in enumerate(plan.requests)}
    outcomes.sort(key=lambda o: order[o.request.source, o.request.precision])
    print_results(outcomes, plan.undefined, time.perf_counter() - begin)
    return outcomes


def _exit_status(outcome: Outcome) -> int:
    """Return 1 for a set that was made and lacks a format."""
    if outcome.error is not None:
        return outcome.error.exit_status
    return int(bool(outcome.lacking))


def _find_unchanged(requests: Sequence[BuildRequest]) -> list[Outcome]:
    outcomes = []
    for request in requests:
        begin = time.perf_counter()
        if request.force or request.require_full_delegation or request.require_all_formats:
            continue
        found = publish.find(request.out, request.request_key(), request.formats)
        if found is not None:
            result = BuildResult(manifest=found, made=(), seconds=time.perf_counter() - begin)
            outcome = Outcome(request=request, result=result)
            if len(outcome.lacking) < len(request.formats):
                outcomes.append(outcome)
    return outcomes


def _default_jobs(requests: Sequence[BuildRequest]) -> int:
    several = len(requests) > 1 or any(
        isinstance(r.source, ZooSource) and "all" in (r.source.model, r.source.variant)
        for r in requests
    )
    return min(4, os.cpu_count() or 1) if several else 1


if __name__ == "__main__":
    sys.exit(main())
