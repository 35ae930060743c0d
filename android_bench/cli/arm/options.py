"""The command line of ``pfd-arm`` as data."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from android_bench.arm_cost.core import CORES
from android_bench.campaign.opening import STORE
from android_bench.cli.options import (
    Parser,
    add_artifact_options,
    add_network_options,
    parse_with_verbs,
    share,
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
    for name in ("count", "check"):
        add_artifact_options(made[name], variant="orig,ours")
    made["count"].add_argument(
        "--no-operators", action="store_true", help="the whole only: half the work"
    )
    made["count"].add_argument("--store", default=STORE, help=f"default: {STORE}; '' for none")
    made["diff"].add_argument("before", type=Path, metavar="A")
    made["diff"].add_argument("after", type=Path, metavar="B")
    made["diff"].add_argument("--rows", type=int, default=25, help="operators shown (default: 25)")
    made["diff"].add_argument("--html", type=Path, metavar="FILE", help="a page with a waterfall")
    made["diff"].add_argument(
        "--node-data", type=Path, metavar="FOLDER", help="for Model Explorer, of two .tflite"
    )
    made["check"].add_argument("--baseline", type=Path, required=True, metavar="FILE")
    made["check"].add_argument(
        "--tolerance", type=share, default=0.005, help="growth allowed (default: 0.5%%)"
    )
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
    for verb in made.values():
        verb.add_argument("--core", default="a77", help=f"{', '.join(CORES)} (default: a77)")
        verb.add_argument("--json", type=Path, metavar="FILE", help="docs/result-schema.md")
        verb.add_argument("--no-cache", action="store_true", help="count again what was counted")
    return parser
