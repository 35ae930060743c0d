"""`python -m export.android`: sources that run a set of artifacts in an Android app.

Example:
    python -m export.android --set artifacts/X.json -o app --package com.example.digits --cpp
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from export.android.facts import RUNTIMES, read_facts
from export.android.render import render
from export.sets.files import output_errors
from export.sets.manifest import load_manifest
from pfd_models.errors import InputError, PfdError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, write the app's files and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        manifest = load_manifest(options.set)
        runtimes = tuple(dict.fromkeys(filter(None, options.runtime.split(","))))
        if not runtimes:
            raise InputError(f"--runtime is empty; give {' or '.join(RUNTIMES)}")
        facts = read_facts(manifest, package=options.package, runtimes=runtimes)
        files = render(manifest, facts, with_cpp=options.cpp)
        _write(options.out, files)
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    for path in sorted(files):
        sys.stdout.write(f"{options.out / path}\n")
    sys.stdout.write(f"what goes where: {options.out / 'README.md'}\n")
    return 0


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """Let a folder with the files appear, whole or not at all.

    Raises:
        InputError: There is something already.
        OutputError: It cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; give a new folder, or remove it first")
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
            made = Path(temporary) / "made"
            for place, content in files.items():
                path = made / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            made.rename(out)  # over an empty folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.android",
        description="Write Kotlin, Gradle and R8 lines that run a set of artifacts in an app.",
    )
    parser.add_argument("--set", type=Path, required=True, metavar="X.json", help="its manifest")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--package", default="com.example.classifier", help="default: com.example.classifier"
    )
    parser.add_argument(
        "--runtime", default=",".join(RUNTIMES), help=f"default: {','.join(RUNTIMES)}"
    )
    parser.add_argument("--cpp", action="store_true", help="C++ sources too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
