"""The command line of ``pfd-bench`` as data: verbs, options, how values are written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from android_bench.campaign import qualify
from android_bench.campaign.opening import STORE
from android_bench.campaign.series_plan import SeriesOptions
from android_bench.cli.artifacts import ArtifactChoice
from android_bench.cli.lanes import DeviceChoice
from android_bench.cli.option_values import (
    read_celsius,
    read_counts,
    read_governor,
    read_names,
    read_positive,
    read_precisions,
    read_seconds,
    read_seed,
    read_share,
    read_shares,
    read_text,
    read_variants,
)
from android_bench.devices.phone.device import TARGET
from android_bench.native_build.toolchain import TARGETS
from android_bench.records import Pairing
from android_bench.report.escape import escape_controls
from android_bench.report.exports import list_formats
from export.request.calibration import WAYS, parse_calibration

__all__ = [
    "Parser",
    "add_artifact_options",
    "add_network_options",
    "parse",
    "parse_with_verbs",
    "read_artifact_choice",
    "read_device_choice",
    "read_series_options",
]

_MEASURE = ("run", "qualify")


class Parser(argparse.ArgumentParser):
    """A parser whose refusal is one line."""

    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return
        """Write the line and end the process with status 2."""
        sys.stderr.write(f"error: {escape_controls(message, longest=2000)}; see --help\n")
        raise SystemExit(2)


def parse(arguments: Sequence[str], verbs: Mapping[str, str]) -> argparse.Namespace:
    """Read a command line; the verb is ``run`` where none is given.

    Args:
        arguments: Without the program's name.
        verbs: Verb to a line of help.

    Returns:
        The options; ``verb`` is one of the verbs. A wrong line ends the process with status 2.
    """
    return parse_with_verbs(arguments, verbs, default="run", make=_make_parser)


def parse_with_verbs(
    arguments: Sequence[str],
    verbs: Mapping[str, str],
    *,
    default: str,
    make: Callable[[Mapping[str, str]], argparse.ArgumentParser],
) -> argparse.Namespace:
    """Read a command line of a program with verbs.

    Args:
        arguments: Without the program's name.
        verbs: Verb to a line of help.
        default: The verb where none is given.
        make: Makes the parser.

    Returns:
        The options; ``verb`` is one of the verbs. A wrong line ends the process with status 2.
    """
    given = list(arguments)
    if not given or (given[0] not in verbs and given[0] not in ("-h", "--help")):
        given = [default, *given]
    parser = make(verbs)
    for text in given:
        name, _, value = text.partition("=")
        if name.startswith("--") and value == "--":  # argparse would give an empty list
            parser.error(f"argument {name}: expected a value")
    return parser.parse_args(given)


def read_artifact_choice(options: argparse.Namespace) -> ArtifactChoice:
    """Return what is to be measured."""
    calibration = None
    if options.calibration:
        calibration = parse_calibration(
            options.calibration, count=options.calibration_samples, data_root=options.data_root
        )
    return ArtifactChoice(
        models=options.model,
        variants=options.variant,
        precisions=options.precision,
        calibration=calibration,
        dataset=options.dataset,
        resolution=options.resolution,
        weights=options.weights,
        out=options.out,
        patterns=options.artifacts or (),
        verbose=options.verbose,
    )


def read_device_choice(options: argparse.Namespace) -> DeviceChoice:
    """Return on what it is to be measured."""
    return DeviceChoice(
        device=options.device,
        serials=options.serial,
        every_phone=options.all,
        target=options.target,
        governor=getattr(options, "governor", None) or "",
    )


def read_series_options(options: argparse.Namespace) -> SeriesOptions:
    """Return how it is to be measured."""
    return SeriesOptions(
        runtimes=options.runtime,
        threads=options.threads,
        cores=options.cores,
        precision=options.half_width,
        budget_seconds=options.budget,
        seed=options.seed,
        start_temperature_mc=options.start_temperature,
        pairing=None if options.pairing == "auto" else Pairing(options.pairing),
    )


def _make_parser(verbs: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="pfd-bench",
        description="Compare variants on a device; without a verb: run.",
        epilog="Each verb has its own --help.",
    )
    each_verb = parser.add_subparsers(dest="verb", required=True, parser_class=Parser)
    made = {
        name: each_verb.add_parser(name, help=line, description=line)
        for name, line in verbs.items()
    }
    add_artifact_options(made["run"], variant="orig,ours")
    _add_how(made["run"], SeriesOptions())
    add_artifact_options(made["qualify"], variant="ours")
    slower = SeriesOptions(precision=qualify.PRECISION, budget_seconds=qualify.BUDGET_SECONDS)
    _add_how(made["qualify"], slower)
    more = made["run"].add_argument_group("more")
    more.add_argument("--profile", action="store_true", help="also time every operator")
    more.add_argument("--memory", action="store_true", help="also measure memory by stage")
    more.add_argument(
        "--resume", nargs="?", const="", metavar="CAMPAIGN", help="go on after an interruption"
    )
    handicaps = ",".join(f"{share:g}" for share in qualify.HANDICAPS)
    made["qualify"].add_argument(
        "--handicaps", type=read_shares, default=qualify.HANDICAPS, help=f"default: {handicaps}"
    )
    made["qualify"].add_argument(
        "--repeats", type=read_positive, default=1, help="campaigns with each handicap (default: 1)"
    )
    made["qualify"].add_argument(
        "--resume", action="store_true", help="go on with the same command after an interruption"
    )
    add_artifact_options(made["doctor"], variant="orig")
    _add_device(made["doctor"])
    _add_device(made["clean"])
    _add_target(made["build"], default="host")
    made["import"].add_argument(
        "--litert-leaderboard",
        type=Path,
        required=True,
        metavar="FILE",
        help="board.json of Google's LiteRT leaderboard",
    )
    for name in ("compare", "show", "report", "export"):
        made[name].add_argument("campaigns", nargs="+", metavar="CAMPAIGN", help="an id, or last")
    made["report"].add_argument("-o", "--output", type=Path, default=Path("report.html"))
    made["export"].add_argument("--format", help=f"one of: {', '.join(list_formats())}")
    made["export"].add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: the campaign's id and an ending"
    )
    for name in (*_MEASURE, "compare", "show"):
        made[name].add_argument("--json", type=Path, metavar="FILE", help="docs/result-schema.md")
    for name in (*_MEASURE, "compare", "show", "list", "report", "export", "import"):
        made[name].add_argument(
            "--store", type=read_text, default=STORE, help=f"a path or URL (default: {STORE})"
        )
    for name in ("run", "compare"):
        made[name].add_argument(
            "--fail-if-slower",
            type=read_share,
            metavar="3%",
            help="exit 1 when an interval says so",
        )
    return parser


def add_artifact_options(parser: argparse.ArgumentParser, *, variant: str) -> None:
    """Add the options that say which files, for `read_artifact_choice`."""
    what = add_network_options(parser, title="what to measure")
    what.add_argument(
        "--variant",
        type=read_variants,
        default=read_variants(variant),
        help=f"baseline first ({variant})",
    )
    what.add_argument("--weights", type=Path, metavar="FILE", help="a checkpoint")
    what.add_argument("--artifacts", nargs="+", metavar="GLOB", help="files that are there")


def add_network_options(parser: argparse.ArgumentParser, *, title: str) -> argparse._ArgumentGroup:
    """Add the options that say which networks of the zoo, and how their files are built."""
    what = parser.add_argument_group(title)
    what.add_argument(
        "--model", type=read_names, default=[], help="of the zoo: a comma list, or all"
    )
    what.add_argument(
        "--precision",
        type=read_precisions,
        default=["fp32"],
        help="comma list: fp32, fp16, int8 (fp32)",
    )
    what.add_argument("--calibration", metavar="DATA", help=f"of int8: {WAYS}")
    what.add_argument(
        "--calibration-samples", type=read_positive, default=64, help="at most (default: 64)"
    )
    what.add_argument("--data-root", type=Path, metavar="FOLDER", help="of dataset:NAME")
    choice = ArtifactChoice()
    dataset, out = choice.dataset, choice.out
    what.add_argument("--dataset", default=dataset, help=f"data-set shape (default: {dataset})")
    what.add_argument(
        "--resolution", type=read_positive, help="pixels; the data set's when not given"
    )
    what.add_argument("--out", type=Path, default=out, help=f"where sets lie (default: {out})")
    what.add_argument(
        "--runtime", type=read_names, default=(), help="comma list (default: every one that fits)"
    )
    what.add_argument("-v", "--verbose", action="store_true", help="show the libraries' output")
    return what


def _add_how(parser: argparse.ArgumentParser, defaults: SeriesOptions) -> None:
    how = parser.add_argument_group("how")
    _add_device(how)
    how.add_argument("--threads", type=read_counts, default=[1], help="comma list (default: 1)")
    how.add_argument("--cores", default="auto", help="auto: the fastest; any; or as 4-7")
    how.add_argument(
        "--half-width",
        type=read_share,
        default=defaults.precision,
        help=f"of the interval, to reach (default: {100 * defaults.precision:g}%%)",
    )
    how.add_argument(
        "--budget",
        type=read_seconds,
        default=defaults.budget_seconds,
        help=f"a comparison's time: 90s, 5m (default: {defaults.budget_seconds:g}s)",
    )
    how.add_argument(
        "--pairing",
        choices=["auto", *(pairing.value for pairing in Pairing)],
        default="auto",
        help="variants take turns, or run one after the other (default: turns, but for several "
        "threads with --cores any)",
    )
    how.add_argument("--seed", type=read_seed, help="of the order of blocks (default: random)")
    how.add_argument(
        "--start-temperature",
        type=read_celsius,
        metavar="45",
        help="degrees Celsius at which a block may start (default: as found idle, and a margin)",
    )
    how.add_argument(
        "--governor",
        type=read_governor,
        metavar="performance|fixed:KHZ",
        help="hold a rooted phone's cores there meanwhile",
    )


def _add_device(parser: argparse._ActionsContainer) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--device", default="host", help="host (default), or virtual: docs/phones.md"
    )
    which.add_argument(
        "--serial", type=read_names, default=[], help="phones as `devices` shows them, or HOST:PORT"
    )
    which.add_argument("--all", action="store_true", help="every phone that is connected")
    _add_target(parser, default=TARGET)


def _add_target(parser: argparse._ActionsContainer, *, default: str) -> None:
    names = ", ".join(TARGETS)
    parser.add_argument(
        "--target",
        default=default,
        help=f"what the harness is built for: {names}, which is untested (default: {default})",
    )
