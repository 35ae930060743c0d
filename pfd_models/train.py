"""`python -m pfd_models.train`: train a network by a recipe of the paper.

Examples:
    python -m pfd_models.train --data-root cifar100 --dataset cifar100 --download \
        --architecture cifar_mobilenetv3_large_w1 --gpu-id 0
    python -m pfd_models.train --data-root cifar100 --dataset cifar100 --model shufflenetv2
    torchrun --nproc-per-node 4 -m pfd_models.train --data-root ILSVRC --dataset imagenet ...
    python -m pfd_models.train --qat --weights best.pt --data-root cifar100 --dataset cifar100 \
        --model shufflenetv2
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pfd_models.errors import PfdError, SpecError

if TYPE_CHECKING:
    from pfd_models.training.qat import Prepare
    from pfd_models.training.run import TrainResult

__all__ = ["main", "parse", "run"]


_QAT_PROGRAM = "export.qat"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, train, and return the exit status.

    ``--qat`` hands the whole command line over to the exporter's own program, in this process's
    place: the exporter decides what the integers are, and this package imports nothing above it.
    """
    options = parse(arguments)
    if options.qat:
        return _become_qat_program(sys.argv[1:] if arguments is None else arguments)
    return run(options)


def run(options: argparse.Namespace, prepare: Prepare | None = None) -> int:
    """Train as the options say and return the exit status.

    Args:
        options: Of `parse`.
        prepare: Makes a network in integers; only for ``--qat``.
    """
    from pfd_models.training.arguments import gpu_id_of, qat_of, run_config
    from pfd_models.training.display import Display
    from pfd_models.training.distributed import choose_device, end_with, processes
    from pfd_models.training.run import train

    rank = int(os.environ.get("RANK", "0"))  # torchrun's
    running = False
    try:
        if bool(options.architecture) == bool(options.model):
            raise SpecError("say what to train: --model NAME, or --architecture STRING")
        config = run_config(
            options,
            model=options.architecture or options.model,
            variant=options.variant,
            seed=options.seed,
            folder=options.run_folder,
            qat=qat_of(options, prepare),
        )
        device = choose_device(gpu_id_of(options))
        with contextlib.ExitStack() as stack:
            together = stack.enter_context(processes(device))
            running = True
            display = stack.enter_context(Display()) if together.is_main else None
            result = train(
                config,
                device=device,
                processes=together,
                resume=options.resume,
                report=display,
            )
    except PfdError as error:
        return end_with(error, shared=not running)
    if rank == 0:
        sys.stdout.write(_closing(result) + "\n")
    return 0 if result.interrupted is None else 128 + result.interrupted


def _closing(result: TrainResult) -> str:
    if result.interrupted is not None:
        return (
            f"{result.interrupted.name}: saved after {len(result.history)} epochs; go on with the "
            "same command and --resume"
        )
    best = result.best
    return (
        f"best epoch {best.epoch}: top-1 {best.top1:.2f} %, top-5 {best.top5:.2f} %; last epoch: "
        f"top-1 {result.history[-1].top1:.2f} %; weights in {result.weights}"
    )


def _become_qat_program(arguments: Sequence[str]) -> NoReturn:
    if importlib.util.find_spec(_QAT_PROGRAM.partition(".")[0]) is None:
        sys.stderr.write(
            "error: --qat needs the exporter, which is not installed; install pfd-mobile\n"
        )
        raise SystemExit(2)
    os.execv(sys.executable, [sys.executable, "-m", _QAT_PROGRAM, *arguments])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; a wrong one ends the program."""
    from pfd_models.training.arguments import (
        LineParser,
        add_data_arguments,
        add_qat_arguments,
        add_run_arguments,
    )

    parser = LineParser(
        prog="python -m pfd_models.train",
        description="Train a network by a recipe of the paper.",
    )
    what = parser.add_argument_group("network")
    what.add_argument("--model", help="a name of the zoo")
    what.add_argument("-a", "--architecture", help="the same, as the paper's reference spells it")
    what.add_argument("--variant", default="ours", help="default: ours")
    add_data_arguments(parser)
    add_run_arguments(parser)
    add_qat_arguments(parser)
    parser.add_argument("--seed", type=int, default=0, help="of every random source (default: 0)")
    parser.add_argument(
        "--run-folder", type=Path, metavar="FOLDER", help="default: runs/ and its name"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
