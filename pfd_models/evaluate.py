"""`python -m pfd_models.evaluate`: accuracy of checkpoints, in PyTorch.

`python -m export.evaluate` measures the files that were built from one.

Example:
    python -m pfd_models.evaluate --dataset cifar100 --data-root cifar100 --weights best.pt last.pt
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pfd_models.errors import PfdError

if TYPE_CHECKING:
    from pfd_models.training.evaluation import Evaluation, Scorer

__all__ = ["Job", "checkpoint_jobs", "main", "make_parser", "run_jobs"]

Job: TypeAlias = "tuple[Path, Callable[[Path], Scorer]]"
"""A file, and what makes a scorer of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print the table and return the exit status."""
    parser = make_parser(
        "python -m pfd_models.evaluate", "Measure the accuracy of checkpoints, in PyTorch."
    )
    parser.add_argument(
        "--weights", type=Path, nargs="+", required=True, metavar="FILE", help="checkpoints"
    )
    options = parser.parse_args(arguments)
    return run_jobs(options, checkpoint_jobs(options))


def make_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with all that a measurement needs besides its files."""
    from pfd_models.training.arguments import LineParser, add_data_arguments

    parser = LineParser(prog=program, description=description)
    add_data_arguments(parser)
    what = parser.add_argument_group("for checkpoints that do not say what they are")
    what.add_argument("--model", help="a name of the zoo")
    what.add_argument("--variant", default="ours", help="default: ours")
    what.add_argument("--num-classes", type=int, help="the data set's when not given")
    what.add_argument("--resolution", type=int, help="the data set's when not given")
    parser.add_argument(
        "-b", "--batch-size", type=int, default=128, help="of a checkpoint (default: 128)"
    )
    parser.add_argument("-j", "--workers", type=int, default=0, help="default: 0")
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a file")
    return parser


def checkpoint_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield a job for each file of ``--weights``.

    Raises:
        InputError: An option is wrong.
    """
    from pfd_models.training.arguments import gpu_id_of, spec_of
    from pfd_models.training.distributed import choose_device
    from pfd_models.training.evaluation import load_checkpoint

    load = functools.partial(
        load_checkpoint,
        spec=spec_of(options, options.model, options.variant) if options.model else None,
        device=choose_device(gpu_id_of(options)),
        batch_size=options.batch_size,
    )
    for path in options.weights:
        yield path, load


def run_jobs(options: argparse.Namespace, jobs: Iterable[Job]) -> int:
    """Measure each file, print a line for it, or all as JSON, and return the exit status."""
    found = []
    try:
        for each in _evaluate(options, jobs):
            found.append(each)
            if not options.json:
                sys.stdout.write(_line(each) + "\n")
                sys.stdout.flush()
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    if options.json:
        sys.stdout.write(json.dumps([_plain(each) for each in found], indent=2) + "\n")
    return 0


def _evaluate(options: argparse.Namespace, jobs: Iterable[Job]) -> Iterator[Evaluation]:
    from pfd_models.training.datasets import find_image_set, open_splits
    from pfd_models.training.evaluation import evaluate

    _, data = find_image_set(options.dataset)
    splits = open_splits(options.dataset, options.data_root, download=options.download)
    for path, load in jobs:
        yield evaluate(
            path,
            load,
            data=data,
            split=splits.val,
            num_classes=len(splits.classes),
            workers=options.workers,
        )


def _line(found: Evaluation) -> str:
    scores = found.scores
    return (
        f"{found.path}: top-1 {scores.top1:.2f} %, top-5 {scores.top5:.2f} % of {scores.images:,} "
        f"images, loss {scores.loss:.4f} ({found.runtime}, {found.seconds:.1f} s)"
    )


def _plain(found: Evaluation) -> dict[str, Any]:
    return {
        "file": str(found.path),
        "runtime": found.runtime,
        "images": found.scores.images,
        "top1_percent": found.scores.top1,
        "top5_percent": found.scores.top5,
        "loss": found.scores.loss,
        "seconds": found.seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
