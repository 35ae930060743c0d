"""`pfd-arm`: what does an inference execute on an ARM core? Counted, without a phone.

Examples:
    pfd-arm --model shufflenetv2 --variant orig,ours
    pfd-arm --artifacts 'artifacts/shufflenetv2_*.pte' --core a55 --json counts.json
    pfd-arm diff A.pte B.pte --html waterfall.html
    pfd-arm advise --model shufflenetv2 --dataset imagenet
    pfd-arm check --artifacts 'artifacts/*.pte' --baseline baseline.json --tolerance 0.5%
    pfd-arm fit --phones docs/phones.json --json fit.json
    pfd-arm estimate --fit fit.json --model shufflenetv2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from android_bench.arm_cost.difference import align, require_operators, sum_kinds
from android_bench.arm_cost.document import read_document, write_document
from android_bench.arm_cost.gate import check_counts
from android_bench.arm_cost.node_data import change_data, cost_data, read_graph
from android_bench.cli.arm.advice import advise_networks
from android_bench.cli.arm.files import count_chosen, count_pair, keep
from android_bench.cli.arm.latency import estimate, fit
from android_bench.cli.arm.options import parse
from android_bench.cli.interruption import run_verb
from android_bench.cli.printing import print_line, print_table
from android_bench.report.arm_advice import advice_lines, advice_table
from android_bench.report.arm_page import difference_page
from android_bench.report.arm_tables import cost_tables, difference_table, gate_lines
from pfd_models.errors import GateError
from pfd_models.files import atomic_write

__all__ = ["main"]

Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do what its verb says and return the exit status."""
    lines = {name: verb.__doc__ or "" for name, verb in VERBS.items()}
    options = parse(sys.argv[1:] if arguments is None else arguments, lines)
    return run_verb(VERBS[options.verb], options)


def count(options: Options) -> int:
    """Count what an inference of each file executes, and its ratio to the first of its kind."""
    files = count_chosen(options, with_operators=not options.no_operators)
    for table in cost_tables(files):
        print_table(table)
    if options.json is not None:
        write_document(options.json, files)
    keep(options.store, files)
    return 0


def diff(options: Options) -> int:
    """Align the operators of two files and say where instructions went."""
    before, after = count_pair(options)
    for file in (before, after):
        require_operators(file.count, file.file)
    changes = align(before.count, after.count)
    shown = sum_kinds(changes) if options.by_kind else changes
    print_table(difference_table(before, after, shown, rows=options.rows))
    if options.html is not None:
        atomic_write(options.html, difference_page(before, after))
        print_line(f"{options.html}")
    if options.node_data is not None:
        graphs = read_graph(options.before), read_graph(options.after)
        data = {
            f"{before.file}.cost.json": cost_data(graphs[0], before.count),
            f"{after.file}.cost.json": cost_data(graphs[1], after.count),
            f"{after.file}.change.json": change_data(graphs[1], after.count, changes),
        }
        for name, text in data.items():
            atomic_write(options.node_data / name, text)
            print_line(f"{options.node_data / name}")
    if options.json is not None:
        write_document(options.json, [before, after])
    return 0


def check(options: Options) -> int:
    """Compare files with a baseline and exit 1, naming the operators, where one grew."""
    baseline = read_document(options.baseline)
    files = count_chosen(options, with_operators=True)
    checked = check_counts(
        {(file.file, file.count.engine): file.count for file in baseline.files},
        {(file.file, file.count.engine): file.count for file in files},
    )
    for line in gate_lines(checked, options.tolerance):
        print_line(line)
    if options.json is not None:
        write_document(options.json, files)
    dearer = any(file.is_dearer(options.tolerance) for file in checked)
    return GateError.exit_status if dearer else 0


def advise(options: Options) -> int:
    """Convert each down-sampling site alone and all, and name the cheapest choice of them."""
    pages, files = advise_networks(options)
    for page in pages:
        print_table(advice_table(page))
        for line in advice_lines(page):
            print_line(line)
    if options.json is not None:
        write_document(options.json, files)
    return 0


VERBS: dict[str, Callable[[Options], int]] = {
    "count": count,
    "diff": diff,
    "check": check,
    "fit": fit,
    "estimate": estimate,
    "advise": advise,
}
