"""`python -m export.check`: a .tflite file before deployment, on a GPU engine or for an NPU.

Examples:
    python -m export.check --gpu artifacts/shufflenetv2_ours_cifar100_32_fp32.tflite
    python -m export.check --npu mediatek --soc mt6893 artifacts/shufflenetv2_ours_*.tflite
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from export.check.gpu import check_gpu
from export.check.npu import check_npu
from export.check.plugins import VENDORS
from export.check.show import describe_gpu, describe_npu
from export.sets.manifest import load_manifest
from pfd_models.errors import GateError, InputError, PfdError

__all__ = ["find_tflite", "main"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return
        sys.stderr.write(f"error: {message}; see --help\n")
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every file, print what was found, and return 1 where a check says no."""
    options = _parser().parse_args(arguments)
    worst = 0
    for path in options.files:
        try:
            worst = max(worst, _check(options, path))
        except PfdError as error:
            sys.stderr.write(f"error: {error}\n")
            worst = max(worst, error.exit_status)
    return worst


def _check(options: argparse.Namespace, given: Path) -> int:
    path = find_tflite(given)
    if options.gpu:
        gpu = check_gpu(path)
        _print(describe_gpu(gpu))
        passed = gpu.passed
    else:
        npu = check_npu(path, options.npu, options.soc or "")
        _print(describe_npu(npu))
        passed = npu.passed
    return 0 if passed else GateError.exit_status


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


def find_tflite(path: Path) -> Path:
    """Return a .tflite file as it is given, or that of the set whose manifest is given.

    Raises:
        InputError: The set has none, or its manifest cannot be read.
        IntegrityError: A file of the set is not the one its manifest describes.
    """
    if path.suffix != ".json":
        return path
    manifest = load_manifest(path)
    found = [artifact for artifact in manifest.artifacts if artifact.format == "tflite"]
    if not found:
        formats = ", ".join(artifact.format for artifact in manifest.artifacts)
        raise InputError(
            f"the set {path} has no .tflite file, only {formats}: build it with --formats tflite"
        )
    return manifest.path(found[0])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m export.check",
        description="Say before deployment what a GPU or an NPU's compiler makes of a file.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--gpu", action="store_true", help="run it on LiteRT's GPU engine")
    which.add_argument("--npu", choices=list(VENDORS), help="ask this maker's compiler plugin")
    parser.add_argument("--soc", help="the phone's chip, with --npu: mt6893, SM8750, Tensor_G5")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help=".tflite, or the .json of a set"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
