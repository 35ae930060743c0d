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
from pathlib import Path
from typing import cast

from export.check.command import check_on_gpu
from export.cli.progress import Display, print_results
from export.cli.sensitivity import analyse_all
from export.cli.workers import Outcome, Workers
from export.formats import get_format, list_formats
from export.pipeline import BuildResult
from export.request.app import PREPROCESSINGS, AppOptions, parse_labels, parse_numbers
from export.request.calibration import WAYS, CalibrationSource, parse_calibration
from export.request.request import PRECISIONS, BuildRequest, Precision
from export.request.source import ModuleSource, ZooSource
from export.request.user_code import (
    check_inputs,
    parse_batch,
    parse_input,
    parse_range,
    parse_target,
)
from export.sets import publish
from pfd_models.errors import PfdError, SpecError, unknown
from pfd_models.variant_names import parse_sites, split_variants

__all__ = ["main", "parse_options", "parse_requests"]


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


def parse_options(arguments: Sequence[str] | None, **described: str) -> argparse.Namespace:
    """Parse a command line; wrong options end the process with one line and status 2.

    Args:
        arguments: Without the program's name; None stands for this process's.
        described: What a command of other name and purpose is called in ``--help``.
    """
    parser = _parser()
    for field, text in described.items():
        setattr(parser, field, text)
    return parser.parse_args(_join_range(sys.argv[1:] if arguments is None else arguments))


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


def parse_requests(options: argparse.Namespace) -> list[BuildRequest]:
    """Turn the command line into requests, one per model and variant.

    Raises:
        SpecError: Options that do not go together, or an unknown format.
    """
    formats = tuple(dict.fromkeys(_names(options.formats)))
    for name in formats:
        get_format(name)
    if options.check and "tflite" not in formats:
        raise SpecError(
            f"--check {options.check} runs the .tflite file: add tflite to --formats "
            f"{options.formats}"
        )
    if bool(options.model) == bool(options.module):
        raise SpecError("say what to build: --model NAME, or --module package.module:factory")
    _refuse_without_effect(options)
    sources: list[ZooSource | ModuleSource] = []
    if options.module:
        if not options.input:
            raise SpecError("--module needs the input's shape: --input 1,3,224,224")
        parse_target(options.module)
        inputs = tuple(parse_input(text) for text in options.input)
        check_inputs(inputs)
        sources.append(
            ModuleSource(
                target=options.module,
                inputs=inputs,
                padding_free=options.padding_free or options.padding_free_sites is not None,
                padding_free_sites=(
                    parse_sites(options.padding_free_sites)
                    if options.padding_free_sites is not None
                    else ()
                ),
                to_float32=options.to == "float32",
                search_path=os.getcwd(),
            )
        )
    else:
        least, largest = parse_batch(options.batch or "1", "--batch")
        sources += [
            ZooSource(
                model=model,
                variant=variant,
                dataset=options.dataset or "cifar100",
                num_classes=options.num_classes,
                resolution=options.resolution,
                batch=least,
                largest_batch=largest if largest > least else None,
            )
            for model in _names(options.model)
            for variant in _variants(options.variant or "ours")
        ]
    calibration = _parse_calibration(options)
    app = _parse_app(options)
    keep_float = tuple(_names(options.keep_float)) if options.keep_float else ()
    return [
        BuildRequest(
            source=source,
            name=options.name,
            formats=formats,
            weights=options.weights,
            weights_key=options.weights_key,
            seed=options.seed,
            out=options.out,
            backend=options.backend,
            tflite_io=options.tflite_io,
            precision=precision,
            calibration=calibration if precision != "fp32" else None,
            io=options.io if precision == "int8" else "float",
            app=app,
            keep_float=keep_float if precision == "int8" else (),
            max_loss=options.max_loss if precision == "int8" else None,
            pte_io=options.pte_io,
            input_range=parse_range(options.input_range) if options.input_range else None,
            samples=options.samples,
            allow_flat_output=options.allow_flat_output,
            require_all_formats=options.require_all_formats,
            require_full_delegation=options.require_full_delegation,
            force=options.force,
            verbose=options.verbose,
        )
        for source in sources
        for precision in _precisions(options.precision)
    ]


def _precisions(text: str) -> list[Precision]:
    names = list(dict.fromkeys(_names(text)))
    for name in names:
        if name not in PRECISIONS:
            raise SpecError(unknown("precision", name, PRECISIONS))
    return cast("list[Precision]", names)


def _parse_calibration(options: argparse.Namespace) -> CalibrationSource | None:
    precisions = _precisions(options.precision)
    if precisions == ["fp32"] and options.calibration:
        raise SpecError("--calibration goes with --precision int8 or fp16")
    if "int8" not in precisions and options.io != "float":
        raise SpecError("--io int8 goes with --precision int8")
    if "int8" not in precisions and (
        options.keep_float or options.max_loss is not None or options.sensitivity
    ):
        raise SpecError("--keep-float, --max-loss and --sensitivity go with --precision int8")
    if not options.calibration and "int8" not in precisions:
        return None
    if not options.calibration:
        if options.weights is None:  # a checkpoint that was trained in integers needs none
            raise SpecError(f"--precision int8 needs --calibration: give {WAYS}")
        return None
    return parse_calibration(
        options.calibration,
        count=options.calibration_samples,
        seed=options.seed,
        data_root=options.data_root,
    )


def _parse_app(options: argparse.Namespace) -> AppOptions:
    return AppOptions(
        preprocess=options.preprocess,
        head=options.head,
        labels=parse_labels(options.labels, options.data_root) if options.labels else None,
        mean=parse_numbers("--mean", options.mean),
        std=parse_numbers("--std", options.std),
    )


def _refuse_without_effect(options: argparse.Namespace) -> None:
    """Refuse an option that the kind of source would pass over in silence.

    Raises:
        SpecError: One that goes with --model was given with --module, or the reverse.
    """
    if options.batch and options.module:
        raise SpecError(
            f"--batch {options.batch} goes with --model; with --module the batch is the first "
            f"number of --input, as in --input {options.batch},3,224,224"
        )
    there, other = ("module", "model") if options.module else ("model", "module")
    for name in _OPTIONS_OF[other]:
        if getattr(options, name):
            option = name.replace("_", "-")
            raise SpecError(f"--{option} goes with --{other}, not with --{there}; leave it out")


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


_OPTIONS_OF = {
    "model": ("variant", "dataset", "resolution", "num_classes", "batch"),
    "module": ("input", "padding_free", "padding_free_sites", "to", "name"),
}
"""Options that say nothing to a source of the other kind."""


def _variants(text: str) -> list[str]:
    return split_variants(",".join(_names(text)))


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SpecError(f"an empty list of names: {text!r}; separate names by commas")
    return names


def _join_range(arguments: Sequence[str]) -> list[str]:
    """Let ``--input-range -1,1`` be read as meant: argparse takes ``-1,1`` for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--input-range", "--mean"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return
        sys.stderr.write(f"error: {message}; see --help\n")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m export.build",
        description="Build verified .pte, .onnx and .tflite files of a network.",
    )
    what = parser.add_argument_group("what to build")
    what.add_argument("--model", help="a name of the zoo, a comma list, or all")
    what.add_argument(
        "--variant",
        help="a comma list, or all (default: ours); down@2,3 is down at the second and third site",
    )
    what.add_argument("--dataset", help="data-set shape (default: cifar100)")
    what.add_argument("--resolution", type=_positive, help="pixels; the data set's when not given")
    what.add_argument("--num-classes", type=_positive, help="the data set's when not given")
    what.add_argument(
        "--module",
        metavar="PKG.FILE:FACTORY",
        help="your own torch.nn.Module, as net:make or net:make(width=0.5); timm:NAME and "
        "torchvision:NAME are networks of those libraries",
    )
    what.add_argument(
        "--input",
        action="extend",
        nargs="+",
        metavar="[NAME:][DTYPE:]1,3,224,224",
        help="its inputs, as 1,3,224,224 or ids:int64:1,16 mask:bool:1,16; a name is a parameter "
        "of forward, or batch.ids for a dictionary's entry and state.0 for a tuple's",
    )
    what.add_argument(
        "--padding-free",
        action="store_true",
        help="apply the paper's recipe to your module first: padding-free downsampling and the "
        "hybrid stem",
    )
    what.add_argument(
        "--padding-free-sites",
        metavar="stem,2,3",
        help="apply it there only: the stem, and down-sampling steps by number, the first being 1",
    )
    what.add_argument(
        "--to", choices=("float32",), help="convert your half or double precision module first"
    )
    what.add_argument("--name", default="", help="what its files are called; its path if not given")
    what.add_argument("--weights", type=Path, metavar="FILE", help="a checkpoint")
    what.add_argument(
        "--weights-key",
        default="",
        metavar="KEY",
        help="which of the file's weights, as state_dict_ema, where it holds several",
    )
    what.add_argument("--seed", type=int, default=0, help="without --weights (default: 0)")
    what.add_argument(
        "--batch",
        metavar="N|LEAST..LARGEST",
        help="images a call (default: 1); 1..8: files that take any batch from 1 to 8. With "
        "--module that is written in --input, as 1..8,3,224,224",
    )
    how = parser.add_argument_group("how")
    formats = ",".join(list_formats())
    how.add_argument("--formats", default=formats, help=f"comma list (default: {formats})")
    how.add_argument("--backend", default="xnnpack", help="delegate of the .pte (default: xnnpack)")
    how.add_argument("--tflite-io", choices=("nhwc", "nchw"), default="nhwc", help="image layout")
    how.add_argument("--precision", default="fp32", help="comma list: fp32, fp16, int8 (fp32)")
    how.add_argument(
        "--calibration", metavar="DATA", help=f"of int8, and to measure fp16 on: {WAYS}"
    )
    how.add_argument(
        "--calibration-samples", type=_positive, default=64, help="at most (default: 64)"
    )
    how.add_argument(
        "--data-root", type=Path, metavar="FOLDER", help="of the data set that is named"
    )
    how.add_argument("--io", choices=("float", "int8"), default="float", help="of int8 files")
    how.add_argument(
        "--preprocess",
        choices=PREPROCESSINGS,
        default="none",
        help="baked: files take RGB in 0..1; uint8: an NHWC image's bytes; metadata: the .tflite "
        "tells the app's library how (default: none)",
    )
    how.add_argument("--head", default="none", help="softmax, argmax or topk:K (default: none)")
    how.add_argument(
        "--labels", metavar="FILE|dataset[:NAME]", help="the classes' names, one a line"
    )
    how.add_argument("--mean", metavar="R,G,B", help="of your module's pixels in 0..1")
    how.add_argument("--std", metavar="R,G,B", help="likewise")
    how.add_argument(
        "--keep-float", metavar="NAME,...", help="modules or layers of int8 that stay in float"
    )
    how.add_argument(
        "--max-loss",
        type=float,
        metavar="POINTS",
        help="of top-1: keep the worst layers of int8 in float until no more is lost, as 0.5",
    )
    how.add_argument(
        "--sensitivity", action="store_true", help="of int8: say what each layer loses"
    )
    how.add_argument("--pte-io", choices=("nhwc", "nchw"), default="nchw", help="of the .pte")
    how.add_argument("--input-range", metavar="LOW,HIGH", help="values it takes, as 0,255")
    how.add_argument("--samples", type=Path, metavar="FOLDER|FILE.npz", help="inputs to check with")
    how.add_argument("--allow-flat-output", action="store_true", help="outputs may ignore inputs")
    how.add_argument("--require-all-formats", action="store_true", help="else make those there are")
    how.add_argument("--require-full-delegation", action="store_true", help="else exit status 1")
    how.add_argument(
        "--check", choices=("gpu",), help="also run the .tflite on LiteRT's GPU engine"
    )
    how.add_argument("--out", type=Path, default=Path("artifacts"), help="default: artifacts")
    how.add_argument("--jobs", type=_positive, help="parallel builds")
    how.add_argument("--force", action="store_true", help="build even when nothing changed")
    how.add_argument("-v", "--verbose", action="store_true", help="show the libraries' own output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
