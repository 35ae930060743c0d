"""Which files are counted: networks of the zoo, sets that are there, or files alone."""

from __future__ import annotations

import argparse
import glob
import time
from collections.abc import Sequence
from pathlib import Path

from android_bench.arm_cost.core import find_core
from android_bench.arm_cost.counting import ENGINES, count_file
from android_bench.arm_cost.document import CountedFile
from android_bench.campaign.contest import find_files
from android_bench.cli.artifacts import find_or_build
from android_bench.cli.options import read_artifact_choice
from android_bench.cli.progress import Display
from android_bench.records import ArtifactRecord
from android_bench.store import open_store
from pfd_models.errors import InputError, unknown

__all__ = ["count_chosen", "count_pair", "keep"]

Chosen = dict[Path, ArtifactRecord | None]


def count_chosen(options: argparse.Namespace, *, with_operators: bool) -> list[CountedFile]:
    """Count the files that the options name, after building sets that are missing.

    Raises:
        InputError: Nothing is named, or a file is absent or refused.
        DeviceError: Emulator or compiler is missing, or a run broke off.
    """
    choice = read_artifact_choice(options)
    choice.require_one()
    for name in options.runtime:
        if name not in ENGINES.values():
            raise InputError(unknown("runtime", name, ENGINES.values()))
    with Display() as display:
        if choice.patterns:
            chosen = _find(choice.patterns)
        else:
            files = find_or_build(choice, display, lambda: None)
            chosen = {file.path: file.record for file in files}
        wanted = {
            path: record
            for path, record in chosen.items()
            if path.suffix in ENGINES
            and (not options.runtime or ENGINES[path.suffix] in options.runtime)
        }
        if not wanted:
            raise InputError("none of the files is a .pte or a .tflite that was asked for")
        return _count(options, wanted, with_operators, display)


def count_pair(options: argparse.Namespace) -> tuple[CountedFile, CountedFile]:
    """Count the two files of a difference."""
    chosen = _find([str(options.before), str(options.after)])
    by_path = {path.resolve(): (path, record) for path, record in chosen.items()}
    pair = dict(by_path[path.resolve()] for path in (options.before, options.after))
    with Display() as display:
        files = _count(options, pair, True, display)
    return files[0], files[-1]


def keep(store: str, files: Sequence[CountedFile]) -> None:
    """Store the counts of files that have a manifest; '' keeps nothing."""
    known = [(file.count, file.artifact) for file in files if file.artifact is not None]
    if not store or not known:
        return
    with open_store(store) as opened:
        for count, artifact in known:
            opened.add_arm_count(count, artifact)


def _find(patterns: Sequence[str]) -> Chosen:
    """Return the files of patterns with what their manifests say, where there are manifests."""
    chosen: Chosen = {}
    for pattern in patterns:
        try:
            chosen |= {file.path: file.record for file in find_files([pattern])}
        except InputError:
            paths = [Path(p) for p in sorted(glob.glob(pattern)) if Path(p).suffix in ENGINES]
            if not paths:
                raise
            chosen |= dict.fromkeys(path.absolute() for path in paths)
    return chosen


def _count(
    options: argparse.Namespace,
    chosen: Chosen,
    with_operators: bool,
    display: Display,
) -> list[CountedFile]:
    core = find_core(options.core)
    files = []
    for path, record in chosen.items():
        display.step(f"counting {path.name} on {core.title}")
        begin = time.perf_counter()
        count = count_file(
            path, core, with_operators=with_operators, use_cache=not options.no_cache
        )
        display.say(f"{path.name}: {time.perf_counter() - begin:.1f} s")
        files.append(CountedFile(file=path.name, artifact=record, count=count))
    return files
