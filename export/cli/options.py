"""The command line of `export.build`: its options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from export.formats import list_formats
from export.request.app import PREPROCESSINGS
from export.request.calibration import WAYS

__all__ = ["make_parser", "parse_options"]


def parse_options(arguments: Sequence[str] | None, **described: str) -> argparse.Namespace:
    """Parse a command line; wrong options end the process with one line and status 2.

    Args:
        arguments: Without the program's name; None stands for this process's.
        described: What a command of other name and purpose is called in ``--help``.
    """
    parser = make_parser()
    for field, text in described.items():
        setattr(parser, field, text)
    return parser.parse_args(_join_range(sys.argv[1:] if arguments is None else arguments))


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


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `export.build`."""
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
