"""The command line of ``pfd-arm`` as data."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from android_bench.arm_cost.core import CORES
from android_bench.campaign.opening import STORE
from android_bench.cli.option_values import read_share
from android_bench.cli.options import (
    Parser,
    add_artifact_options,
    add_network_options,
    parse_with_verbs,
)

__all__ = ["parse"]


def parse(arguments: Sequence[str], verbs: Mapping[str, str]) -> argparse.Namespace:
    """Read a command line; the verb is ``count`` where none is given."""
    return parse_with_verbs(arguments, verbs, default="count", make=_make_parser)


def _make_parser(verbs: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="pfd-arm",
        description="Count what an inference executes on an ARM core; without a verb: count.",
        epilog="Each verb has its own --help. docs/arm-cost.md tells the method.",
    )
    each_verb = parser.add_subparsers(dest="verb", required=True, parser_class=Parser)
    made = {
        name: each_verb.add_parser(name, help=line, description=line)
        for name, line in verbs.items()
    }
    for name in ("count", "check", "estimate"):
        add_artifact_options(made[name], variant="orig,ours")
    made["count"].add_argument(
        "--no-operators", action="store_true", help="the whole only: half the work"
    )
    made["count"].add_argument("--store", default=STORE, help=f"default: {STORE}; '' for none")
    made["diff"].add_argument("before", type=Path, metavar="A")
    made["diff"].add_argument("after", type=Path, metavar="B")
    made["diff"].add_argument("--rows", type=int, default=25, help="operators shown (default: 25)")
    made["diff"].add_argument(
        "--by-kind", action="store_true", help="the sum of each kind of operator"
    )
    made["diff"].add_argument("--html", type=Path, metavar="FILE", help="a page with a waterfall")
    made["diff"].add_argument(
        "--node-data", type=Path, metavar="FOLDER", help="for Model Explorer, of two .tflite"
    )
    made["check"].add_argument("--baseline", type=Path, required=True, metavar="FILE")
    made["check"].add_argument(
        "--tolerance", type=read_share, default=0.005, help="growth allowed (default: 0.5%%)"
    )
    _add_latency_options(made["fit"], made["estimate"])
    what = add_network_options(made["advise"], title="what to advise on")
    what.add_argument(
        "--module", metavar="PKG.FILE:FACTORY", help="your own torch.nn.Module, as net:make"
    )
    what.add_argument(
        "--input", nargs="+", metavar="1,3,224,224", help="its inputs, as export.build takes them"
    )
    made["advise"].add_argument(
        "--exhaustive", action="store_true", help="count every subset of the sites"
    )
    for name, verb in made.items():
        verb.add_argument("--core", default="a77", help=f"{', '.join(CORES)} (default: a77)")
        if name != "estimate":
            told = "what estimates are made of" if name == "fit" else "docs/result-schema.md"
            verb.add_argument("--json", type=Path, metavar="FILE", help=told)
        verb.add_argument("--no-cache", action="store_true", help="count again what was counted")
    return parser


def _add_latency_options(fit: argparse.ArgumentParser, estimate: argparse.ArgumentParser) -> None:
    fit.add_argument(
        "--phones", type=Path, required=True, metavar="FILE", help="what phones measured, JSON"
    )
    fit.add_argument(
        "--table", nargs="+", default=[], metavar="ID", help="default: all of one thread"
    )
    fit.add_argument(
        "--networks", type=Path, metavar="FILE", help="name in the table to builder, JSON"
    )
    fit.add_argument(
        "--artifacts", nargs="+", metavar="GLOB", help="sets that are there and need no build"
    )
    fit.add_argument("--out", type=Path, default=Path("artifacts"), help="where sets are built")
    fit.add_argument(
        "--no-build", action="store_true", help="leave out networks that are not built yet"
    )
    fit.add_argument(
        "--cycles",
        action="store_true",
        help="also predictors of cycles, modelled by llvm-mca (LLVM 17 or newer)",
    )
    estimate.add_argument(
        "--fit", type=Path, required=True, metavar="FILE", help="that fit --json wrote"
    )
    for verb in (fit, estimate):
        verb.add_argument(
            "--all",
            dest="show_all",
            action="store_true",
            help="predictors too that rank worse than instruction counts",
        )
