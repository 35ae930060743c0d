"""`python -m android_bench.native_build`: the native harness, from source, cached by content.

Examples:
    python -m android_bench.native_build
    python -m android_bench.native_build --target linux-arm64
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.native_build.bundle import collect
from android_bench.native_build.cache import cache_folder, make_alone, replace_folder
from android_bench.native_build.prebuilt import find_prebuilt
from android_bench.native_build.record import (
    PROGRAMS,
    RECORD_VERSION,
    BuildRecord,
    BundleRecord,
    read_whole_build,
)
from android_bench.native_build.runtimes import Runtimes, find_runtimes
from android_bench.native_build.toolchain import TARGETS, Toolchain, find_toolchain, named_compiler
from export.sets.files import atomic_write, sha256_file
from pfd_models.errors import DeviceError, InputError, PfdError, unknown

__all__ = ["PROTOCOL", "SOURCES", "Built", "build_harness", "main", "source_version"]

PROTOCOL = 2
"""Version of the lines between host and harness; docs/harness-protocol.md."""

SOURCES = Path(__file__).parent.parent / "native"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A harness that is ready to run.

    Attributes:
        folder: What belongs together; a bundle of all it needs for another machine.
        record: What lies there, and of what it was made.
        from_cache: Whether nothing had to be done.
    """

    folder: Path
    record: BuildRecord
    from_cache: bool

    @property
    def target(self) -> str:
        """Return what it was built for, as ``host``."""
        return self.record.target

    @property
    def version(self) -> str:
        """Return what it answers and the host compares."""
        return self.record.version

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return a line for each engine that could not be built."""
        return self.record.left_out

    @property
    def bundle(self) -> BundleRecord:
        """Return the files of the folder."""
        return self.record.bundle

    @property
    def program(self) -> Path:
        """Return the harness itself."""
        return self.folder / "pfd_bench"

    @property
    def bare_loop(self) -> Path:
        """Return the loop that the harness's overhead is measured against."""
        return self.folder / "pfd_bare_loop"


def source_version(sources: Path = SOURCES) -> str:
    """Return the version that host and harness must share: protocol and a hash of the sources."""
    digest = hashlib.sha256()
    for path in _source_files(sources):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(sources)}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{PROTOCOL}+{digest.hexdigest()[:12]}"


def _source_files(sources: Path) -> list[Path]:
    kinds = ("*.cpp", "*.h", "*.cmake", "CMakeLists.txt")
    return sorted({path for kind in kinds for path in sources.rglob(kind)})


def build_harness(
    target: str = "host",
    *,
    sources: Path = SOURCES,
    toolchain: Toolchain | None = None,
    from_source: bool = False,
) -> Built:
    """Build the harness, or take it from where it lies when nothing it is made of has changed.

    The walk: tools, runtimes, cache, configure and compile, bundle, publish by one rename. What
    is in the cache is taken when every file is what it was; two callers build once. Where the
    package pfd-mobile-device was made of the same sources, its harness is taken instead.

    Args:
        target: ``host``; ``linux-x64`` for other computers, which names no path of this one;
            ``linux-arm64`` for phones and emulated ones; ``android-arm64`` for phones
            through an NDK, which is untested.
        sources: The folder with CMakeLists.txt and engines/.
        toolchain: What to build with instead of what is found.
        from_source: Build although a package brings the harness.

    Raises:
        InputError: An unknown target.
        DeviceError: A tool or runtime is missing, or the compiler failed.
        OutputError: The cache cannot be written.
    """
    if target not in TARGETS:
        raise InputError(unknown("target", target, TARGETS))
    version = source_version(sources)
    if not (from_source or toolchain or named_compiler(target)):
        with contextlib.suppress(DeviceError):  # there is none, or one of other sources
            place, found = find_prebuilt(target, version, DeviceError("not looked for"))
            return Built(folder=place, record=found, from_cache=True)
    try:
        toolchain = toolchain or find_toolchain(target)
    except DeviceError as error:
        if named_compiler(target):  # what was asked for is not passed over
            raise
        place, found = find_prebuilt(target, version, error)
        return Built(folder=place, record=found, from_cache=True)
    runtimes = find_runtimes(target)
    folder = cache_folder() / "native" / f"{target}-{_key(version, toolchain, runtimes)}"
    if record := read_whole_build(folder):
        return Built(folder=folder, record=record, from_cache=True)
    with make_alone(folder.parent) as temporary:
        if record := read_whole_build(folder):  # another process built it meanwhile
            return Built(folder=folder, record=record, from_cache=True)
        made, record = _compile(temporary, sources, version, toolchain, runtimes)
        replace_folder(made, folder)
    return Built(folder=folder, record=record, from_cache=False)


def _key(version: str, toolchain: Toolchain, runtimes: Runtimes) -> str:
    """Return a hash of all that the result depends on."""
    parts = [
        f"{RECORD_VERSION} {version}",
        toolchain.target,
        str(toolchain.compiler.resolve()),
        toolchain.compiler_version,
        " ".join((toolchain.compiler_target, *toolchain.compiler_arguments, *toolchain.options)),
        *_hash_libraries(toolchain.library_folder),
        # On this machine the program finds the libraries where they are now.
        f"{runtimes.executorch_version} {runtimes.executorch}",
        f"{runtimes.litert_version} {runtimes.litert}",
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _hash_libraries(folder: Path | None) -> list[str]:
    if folder is None:
        return []
    return [f"{path.name} {sha256_file(path)}" for path in sorted(folder.iterdir())]


def _compile(
    temporary: Path, sources: Path, version: str, toolchain: Toolchain, runtimes: Runtimes
) -> tuple[Path, BuildRecord]:
    """Return a folder with everything, inside the temporary one, and what is in it."""
    tree, made = temporary / "tree", temporary / "made"
    made.mkdir()
    compiler = ";".join((str(toolchain.compiler), *toolchain.compiler_arguments))
    options = [
        f"-DCMAKE_CXX_COMPILER={compiler}",
        *toolchain.options,
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DPFD_VERSION={version}",
        f"-DPFD_TARGET={toolchain.target}",
        f"-DPFD_LITERT_DIR={runtimes.litert or ''}",
        f"-DPFD_LITERT_VERSION={runtimes.litert_version}",
    ]
    if runtimes.executorch:
        options.append(f"-Dexecutorch_DIR={runtimes.executorch}/share/cmake")
    else:
        options.append("-DCMAKE_DISABLE_FIND_PACKAGE_executorch=ON")
    if toolchain.target.endswith("-arm64"):
        options += ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"]
    if toolchain.target == "android-arm64":
        options.append("-DCMAKE_SHARED_LINKER_FLAGS=-static-libstdc++")
        options.append("-DCMAKE_MODULE_LINKER_FLAGS=-static-libstdc++")
        options.append("-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++")
    said = _run([toolchain.cmake, "-S", sources, "-B", tree, *options], "configure")
    _run([toolchain.cmake, "--build", tree, "--parallel", str(os.cpu_count() or 1)], "compile")
    for path in [*(tree / name for name in PROGRAMS), *tree.glob("pfd_engine_*.so")]:
        shutil.copy2(path, made / path.name)
    record = BuildRecord(
        target=toolchain.target,
        version=version,
        compiler=toolchain.compiler_version,
        runtimes={
            "executorch": runtimes.executorch_version,
            "ai-edge-litert": runtimes.litert_version,
        },
        left_out=tuple(line.partition("pfd: ")[2] for line in said.splitlines() if "pfd: " in line),
        bundle=collect(made, runtimes, toolchain),
    )
    record.save(made)
    return made, record


def _run(command: Sequence[str | Path], what: str) -> str:
    """Return what a build step printed.

    Raises:
        DeviceError: It failed; the line has the first error and the file with all of it.
    """
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        log = cache_folder() / "native" / f"failed-{what}.log"
        atomic_write(log, done.stdout)
        errors = [line.strip() for line in done.stdout.splitlines() if "rror" in line]
        first = errors[0] if errors else f"status {done.returncode}"
        raise DeviceError(f"cannot {what} the harness: {first[:300]}; all of it is in {log}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, build, say where it is and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m android_bench.native_build",
        description="Build the native benchmark harness; unchanged sources are not built again.",
    )
    parser.add_argument(
        "--target",
        default="host",
        help="host (default), linux-x64 for other computers, linux-arm64 for a phone, or "
        "android-arm64 (an NDK; untested)",
    )
    options = parser.parse_args(arguments)
    begin = time.perf_counter()
    try:
        built = build_harness(options.target, from_source=True)
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    took = "unchanged" if built.from_cache else f"built in {time.perf_counter() - begin:.1f} s"
    sys.stdout.write(f"{built.program}\nversion {built.version}, {built.target}, {took}\n")
    for line in built.left_out:
        sys.stdout.write(f"{line}\n")
    return 0
