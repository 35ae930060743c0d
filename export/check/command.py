"""`python -m export.check`: a .tflite file before deployment, on a GPU engine or for an NPU.

Examples:
    python -m export.check --gpu artifacts/shufflenetv2_ours_cifar100_32_fp32.tflite
    python -m export.check --npu mediatek --soc mt6893 artifacts/shufflenetv2_ours_*.tflite
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from export.check.gpu import check_gpu
from export.check.npu import check_npu
from export.check.plugins import VENDORS
from export.check.show import describe_gpu, describe_npu
from export.sets.manifest import Manifest, load_manifest
from pfd_models.errors import GateError, InputError, PfdError

__all__ = ["check_on_gpu", "find_tflite", "main"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return
        sys.stderr.write(f"error: {message}; see --help\n")
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every file, print what was found, and return 1 where a check says no."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.gpu and options.soc is not None:
        parser.error(f"--soc {options.soc} goes with --npu; leave it out")
    if options.gpu:
        return check_on_gpu(options.files)
    return _check_each(options.files, lambda path: _ask_npu(path, options.npu, options.soc or ""))


def check_on_gpu(files: Iterable[Path | Manifest]) -> int:
    """Run files on the GPU engine and print what was found.

    Args:
        files: .tflite files, manifests of sets, or their paths.

    Returns:
        0 where all stay on the GPU and compute what the CPU does, 1 where one does not, and an
        error's exit status where one could not be checked.
    """
    return _check_each(files, _run_on_gpu)


def _check_each(
    files: Iterable[Path | Manifest], check: Callable[[Path], tuple[Iterable[str], bool]]
) -> int:
    worst, seconds = 0, []
    for given in files:
        begin = time.perf_counter()
        try:
            lines, passed = check(find_tflite(given))
        except PfdError as error:
            sys.stderr.write(f"error: {error}\n")
            worst = max(worst, error.exit_status)
            continue
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()
        worst = max(worst, 0 if passed else GateError.exit_status)
        seconds.append(time.perf_counter() - begin)
    if len(seconds) > 1:
        sys.stdout.write(
            f"{len(seconds)} files: {statistics.median(seconds):.1f} s a file (median), "
            f"{max(seconds):.1f} s at most\n"
        )
    return worst


def _run_on_gpu(path: Path) -> tuple[Iterable[str], bool]:
    report = check_gpu(path)
    return describe_gpu(report), report.passed


def _ask_npu(path: Path, vendor: str, soc: str) -> tuple[Iterable[str], bool]:
    report = check_npu(path, vendor, soc)
    return describe_npu(report), report.passed


def find_tflite(given: Path | Manifest) -> Path:
    """Return a .tflite file as it is given, or that of a set.

    Raises:
        InputError: The set has none, or its manifest cannot be read.
        IntegrityError: A file of the set is not the one its manifest describes.
    """
    if isinstance(given, Path) and given.suffix != ".json":
        return given
    manifest = load_manifest(given) if isinstance(given, Path) else given
    found = [artifact for artifact in manifest.artifacts if artifact.format == "tflite"]
    if not found:
        formats = ", ".join(artifact.format for artifact in manifest.artifacts) or "none"
        raise InputError(
            f"the set of {manifest.model} has no .tflite file (formats: {formats}): build it with "
            "--formats tflite"
        )
    return manifest.path(found[0])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m export.check",
        description="Say before deployment what a GPU or an NPU's compiler makes of a file.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--gpu", action="store_true", help="run it on LiteRT's GPU engine")
    which.add_argument(
        "--npu", type=str.lower, choices=list(VENDORS), help="ask this maker's compiler plugin"
    )
    parser.add_argument("--soc", help="the phone's chip, with --npu: mt6893, SM8750, Tensor_G5")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help=".tflite, or the .json of a set"
    )
    return parser
