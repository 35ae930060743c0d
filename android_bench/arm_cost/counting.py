"""One file on one emulated core: run it under the counter, twice, and keep what was counted.

The plain run says what an inference executes. In a second one the engine tells its operators too,
which costs instructions of its own, so it says only which operator executes what. A run needs one
core for some seconds; both go at once where there are two.

The emulated program sees nothing of where it runs: its paths, arguments and environment are always
the same, because what lies where in memory decides what a model of caches misses.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import json
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from android_bench.arm_cost.building import Counter, build_counter
from android_bench.arm_cost.core import CPUINFO, HOME, Core, phone_files
from android_bench.arm_cost.counted import CountedInference, read_counts
from android_bench.arm_cost.emulator import Emulator, find_emulator
from android_bench.arm_cost.operators import attribute
from android_bench.harness.client import Harness, Job, count_inferences, describe
from android_bench.harness.result import HarnessResult, LoadedFile, Status
from android_bench.native_build.build import Built, build_harness
from android_bench.native_build.cache import cache_folder
from android_bench.records import ArmCount, HotBlock
from export.sets.files import atomic_write, sha256_file
from pfd_models.errors import DeviceError, InputError, PfdError
from pfd_models.plain_data import decode_json, to_plain

__all__ = ["ENGINES", "count_file"]

ENGINES = {".pte": "executorch", ".tflite": "litert"}
"""A file's suffix to the engine that runs it."""

_TIMEOUT_S = 900.0
_INFERENCES = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Setup:
    """All that a count depends on besides the file; one a process and core."""

    built: Built
    counter: Counter
    emulator: Emulator
    core: Core

    def key(self, sha256: str, engine: str, with_operators: bool) -> str:
        """Return what names a count in the cache."""
        parts: dict[str, Any] = {
            "counter": self.counter.version,
            "emulator": self.emulator.version,
            "build": to_plain(self.built.record),
            "core": to_plain(self.core),
            "file": sha256,
            "engine": engine,
            "operators": with_operators,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.cache
def _open_setup(core: Core) -> _Setup:
    return _Setup(
        built=build_harness("linux-arm64"),
        counter=build_counter(),
        emulator=find_emulator(),
        core=core,
    )


def count_file(
    path: Path,
    core: Core,
    *,
    engine: str = "",
    with_operators: bool = True,
    use_cache: bool = True,
) -> ArmCount:
    """Count what one inference of a file executes on a core.

    Args:
        path: A ``.pte`` or ``.tflite``.
        core: Of `CORES`.
        engine: Its name; empty for the one that runs files of this kind.
        with_operators: Say also what each operator executes, which is a second run.
        use_cache: Take a count of the same file by the same versions where there is one.

    Raises:
        InputError: The file is absent or refused by its engine.
        DeviceError: Emulator or compiler is missing, or the run broke off.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}: build it first or correct the path")
    setup = _open_setup(core)
    sha256 = sha256_file(path)
    engine = engine or _engine_of(path)
    kept = cache_folder() / "arm-counts" / f"{setup.key(sha256, engine, with_operators)}.json"
    if use_cache and (found := _read_kept(kept)):
        return found
    count = _count(setup, path, sha256, engine, with_operators)
    atomic_write(kept, json.dumps(to_plain(count)) + "\n")
    return count


def _engine_of(path: Path) -> str:
    if path.suffix not in ENGINES:
        raise InputError(f"no engine runs {path.name}: give a .pte or a .tflite")
    return ENGINES[path.suffix]


def _read_kept(path: Path) -> ArmCount | None:
    try:
        return decode_json(ArmCount, path.read_bytes(), what=str(path))
    except (OSError, PfdError):
        return None


def _count(setup: _Setup, path: Path, sha256: str, engine: str, with_operators: bool) -> ArmCount:
    with ThreadPoolExecutor(2) as both:
        plain = both.submit(_run, setup, path, engine, False)
        split = both.submit(_run, setup, path, engine, True) if with_operators else None
        result, inferences = plain.result()
        told = split.result() if split else None
    last = inferences[-1]
    operators = attribute(told[0], told[1][-1]) if told else ()
    count = ArmCount(
        artifact_sha256=sha256,
        engine=result.engine,
        engine_version=result.engine_version,
        core=setup.core.name,
        cpu_model=setup.core.cpu_model,
        caches=setup.core.caches,
        emulator=setup.emulator.title,
        counter_version=setup.counter.version,
        harness_version=setup.built.version,
        counted_utc=datetime.datetime.now(datetime.UTC).isoformat(),
        counts=last.counts,
        spread=_spread(inferences),
        operators=operators,
        blocks=tuple(_place(block, result.files) for block in last.blocks),
    )
    if operators and count.outside.instructions < 0:
        raise DeviceError(
            f"the operators of {path.name} execute more than the whole inference: "
            "report this with the file"
        )
    return count


def _spread(inferences: list[CountedInference]) -> float:
    totals = [inference.counts.instructions for inference in inferences]
    return (max(totals) - min(totals)) / max(totals)


def _place(block: HotBlock, files: tuple[LoadedFile, ...]) -> HotBlock:
    """Return the block with its place in a file in place of its address."""
    for file in files:
        if file.base <= block.offset < file.end:
            name = file.name or "pfd_bench"
            return dataclasses.replace(block, file=name, offset=block.offset - file.base)
    return block


def _run(
    setup: _Setup, path: Path, engine: str, with_operators: bool
) -> tuple[HarnessResult, list[CountedInference]]:
    described = _describe(setup)
    with tempfile.TemporaryDirectory(prefix="pfd-arm-") as name:
        folder = Path(name)
        _lay_out(folder, setup, path)
        command = _command(folder, setup, counted=True, with_operators=with_operators)
        result = count_inferences(
            dataclasses.replace(described, command=command),
            Job(model=f"{HOME}/model{path.suffix}", engine=engine),
            iterations=_INFERENCES,
            with_operators=with_operators,
            timeout_s=_TIMEOUT_S,
        )
        _require_done(result, path, setup.core)
        inferences = read_counts(folder / "counts.jsonl")
    if len(inferences) != _INFERENCES:
        raise DeviceError(
            f"{path.name} never reached the marks of its inferences ({len(inferences)} of "
            f"{_INFERENCES} were seen): the harness in {setup.built.folder} was built without "
            "them; remove that folder and call again"
        )
    return result, inferences


@functools.cache
def _describe(setup: _Setup) -> Harness:
    """Return what the harness says of itself under the emulator."""
    with tempfile.TemporaryDirectory(prefix="pfd-arm-") as name:
        _lay_out(Path(name), setup, None)
        return describe(_command(Path(name), setup, counted=False, with_operators=False))


def _lay_out(folder: Path, setup: _Setup, path: Path | None) -> None:
    """Make the folder that stands for the phone, with links to what a run needs."""
    phone = folder / "phone"
    for place, text in phone_files(setup.core).items():
        (phone / place).parent.mkdir(parents=True, exist_ok=True)
        (phone / place).write_text(text)
    home = phone / HOME.strip("/")
    home.mkdir()
    if setup.emulator.shows_own_processor:
        (phone / "proc/cpuinfo").rename(phone / CPUINFO.strip("/"))
        (home / setup.counter.cpuinfo.name).symlink_to(setup.counter.cpuinfo)
    for file in setup.built.bundle.files:
        (home / file.file).symlink_to(setup.built.folder / file.file)
    # The program asks where it lies, and a link would tell it.
    (home / setup.built.program.name).unlink()
    shutil.copy2(setup.built.program, home)
    (home / setup.counter.clock_marks.name).symlink_to(setup.counter.clock_marks)
    if path is not None:
        (home / f"model{path.suffix}").symlink_to(path.resolve())


def _command(
    folder: Path, setup: _Setup, *, counted: bool, with_operators: bool
) -> tuple[str, ...]:
    """Return what starts the harness under the emulator."""
    start = ["env", "-i", "-C", str(folder), "LC_ALL=C", *setup.emulator.command]
    start += ["-L", "phone", "-cpu", setup.core.cpu_model]
    if counted:
        start += ["-plugin", f"{setup.counter.plugin},out=counts.jsonl,{setup.core.caches}"]
    loader = f"phone{HOME}/{setup.built.bundle.loader}"
    program = [loader, "--inhibit-cache", "--library-path", HOME]
    preloaded = [setup.counter.cpuinfo] if setup.emulator.shows_own_processor else []
    preloaded += [setup.counter.clock_marks] if with_operators else []
    if preloaded:
        program += ["--preload", ":".join(f"{HOME}/{library.name}" for library in preloaded)]
    return (*start, *program, f"{HOME}/{setup.built.program.name}")


def _require_done(result: HarnessResult, path: Path, core: Core) -> None:
    if result.status is Status.DONE:
        return
    if result.status is Status.CRASHED and result.signal == signal.SIGILL:
        raise InputError(
            f"{path.name} needs an instruction that {core.title} lacks (stage {result.stage}): "
            "choose another --core, or build the file for this one"
        )
    raise DeviceError(
        f"{path.name} {result.status.value} at stage {result.stage} under the emulator: "
        f"{result.message or 'no reason given'}"
    )
