"""The command line of ``tools/adb_bench.py`` as data: verbs, options, how values are written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from android_bench.campaign.qualify import HANDICAPS
from android_bench.report.escape import escape_controls

__all__ = ["STORE", "parse"]

STORE = "bench.sqlite"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return
        sys.stderr.write(f"error: {escape_controls(message)}; see --help\n")
        raise SystemExit(2)


def parse(arguments: Sequence[str], verbs: Mapping[str, str]) -> argparse.Namespace:
    """Read a command line; the verb is ``run`` where none is given.

    Args:
        arguments: Without the program's name.
        verbs: Verb to a line of help.

    Returns:
        The options; ``verb`` is one of the verbs. A wrong line ends the process with status 2.
    """
    given = list(arguments)
    if not given or (given[0] not in verbs and given[0] not in ("-h", "--help")):
        given = ["run", *given]
    return _parser(verbs).parse_args(given)


def _parser(verbs: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="adb_bench.py",
        description="Compare variants on a device; without a verb: run.",
        epilog="Each verb has its own --help.",
    )
    each_verb = parser.add_subparsers(dest="verb", required=True, parser_class=_Parser)
    made = {
        name: each_verb.add_parser(name, help=line, description=line)
        for name, line in verbs.items()
    }
    for name in ("run", "qualify"):
        _add_what(made[name], variant="orig,ours" if name == "run" else "ours")
        _add_how(made[name])
    budget = {"run": 120.0, "qualify": 180.0}
    # An interval as wide as the effect finds it only every second time (docs/statistics.md).
    precision = {"run": 0.01, "qualify": 0.007}
    for name in ("run", "qualify"):
        made[name].set_defaults(budget=budget[name], precision=precision[name])
    more = made["run"].add_argument_group("more")
    more.add_argument("--profile", action="store_true", help="also time every operator")
    more.add_argument("--memory", action="store_true", help="also measure memory by stage")
    more.add_argument(
        "--resume", nargs="?", const="", metavar="CAMPAIGN", help="go on after an interruption"
    )
    made["qualify"].add_argument(
        "--handicaps", type=_shares, default=HANDICAPS, help="default: 0,0.5%%,1%%,2%%,5%%"
    )
    _add_what(made["doctor"], variant="orig")
    _add_device(made["doctor"])
    for name in ("compare", "show", "report", "export"):
        made[name].add_argument("campaigns", nargs="+", metavar="CAMPAIGN", help="an id, or last")
    made["report"].add_argument("-o", "--output", type=Path, default=Path("report.html"))
    made["export"].add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help=".csv or .parquet"
    )
    for name, each in made.items():
        if name in ("devices", "doctor"):
            continue
        each.add_argument("--store", default=STORE, help=f"a path or URL (default: {STORE})")
        if name in ("run", "qualify", "compare", "show"):
            each.add_argument("--json", type=Path, metavar="FILE", help="docs/result-schema.md")
    for name in ("run", "compare"):
        made[name].add_argument(
            "--fail-if-slower", type=_share, metavar="3%", help="exit 1 when an interval says so"
        )
    return parser


def _add_what(parser: argparse.ArgumentParser, *, variant: str) -> None:
    what = parser.add_argument_group("what to measure")
    what.add_argument("--model", type=_names, default=[], help="of the zoo: a comma list, or all")
    what.add_argument(
        "--variant", type=_names, default=_names(variant), help=f"baseline first ({variant})"
    )
    what.add_argument("--dataset", default="cifar100", help="data-set shape (default: cifar100)")
    what.add_argument("--resolution", type=_positive, help="pixels; the data set's when not given")
    what.add_argument("--weights", type=Path, metavar="FILE", help="a checkpoint")
    what.add_argument("--out", type=Path, default=Path("artifacts"), help="where artifacts lie")
    what.add_argument("--artifacts", nargs="+", metavar="GLOB", help="files that are there")
    what.add_argument(
        "--runtime", type=_names, default=(), help="comma list (default: every one that fits)"
    )
    what.add_argument("-v", "--verbose", action="store_true", help="show the libraries' output")


def _add_how(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how")
    _add_device(how)
    how.add_argument("--threads", type=_counts, default=[1], help="comma list (default: 1)")
    how.add_argument("--cores", default="auto", help="auto: the fastest; any; or as 4-7")
    how.add_argument("--precision", type=_share, help="half-width to reach (default: 1%%)")
    how.add_argument("--budget", type=_seconds, help="a comparison's time: 120, 90s, 5m")
    how.add_argument("--seed", type=_count, help="of the order of blocks (default: random)")


def _add_device(parser: argparse._ActionsContainer) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--device", default="host", help="host (default), or virtual: docs/phones.md"
    )
    which.add_argument(
        "--serial", type=_names, default=[], help="phones as `devices` shows them, or HOST:PORT"
    )
    which.add_argument("--all", action="store_true", help="every phone that is connected")
    parser.add_argument(
        "--target",
        default="linux-arm64",
        help="what phones are built for: linux-arm64 (default), or android-arm64 (untested)",
    )


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of different names")
    return names


def _share(text: str) -> float:
    """Read ``3%`` or ``0.03``."""
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if is_percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give 3% or 0.03")
    return share


def _shares(text: str) -> list[float]:
    return [_share(part) for part in text.split(",")]


def _seconds(text: str) -> float:
    """Read ``120``, ``90s``, ``5m`` or ``5min``."""
    for suffix, factor in (("min", 60.0), ("m", 60.0), ("s", 1.0), ("", 1.0)):
        if text.endswith(suffix):
            try:
                return float(text.removesuffix(suffix)) * factor
            except ValueError:
                break
    raise argparse.ArgumentTypeError(f"{text!r} is no time: give 120, 90s or 5m")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if _count(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def _counts(text: str) -> list[int]:
    return [_positive(part) for part in _names(text)]
