"""Building the counter: the emulator's plugin for this computer, and the clock's marks for ARM.

The sources lie in ``counter/``. Both are built on first use and kept by content; without a compiler
they are those of the package pfd-mobile-device, when it was made of the same sources.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.native_build.cache import cache_folder, make_alone, replace_folder
from android_bench.native_build.prebuilt import PACKAGE
from android_bench.native_build.toolchain import find_toolchain, named_compiler, output_of
from pfd_models.errors import DeviceError

__all__ = ["PREBUILT", "Counter", "build_counter", "counter_version", "make_counter"]

_SOURCES = Path(__file__).parent / "counter"
_PLUGIN, _CLOCK_MARKS = "counter.so", "clock_marks.so"
PREBUILT = "counter-{version}"
"""The folder of pfd-mobile-device that holds the counter of some sources."""

_FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A counter that is ready to be used.

    Attributes:
        folder: Holds both files.
        version: Of the way of counting and of the sources.
    """

    folder: Path
    version: str

    @property
    def plugin(self) -> Path:
        """Return what the emulator loads."""
        return self.folder / _PLUGIN

    @property
    def clock_marks(self) -> Path:
        """Return what the emulated program loads before all else, when operators are counted."""
        return self.folder / _CLOCK_MARKS


COUNT_VERSION = 1
"""Of the way of counting; counts of another one are not compared."""


def counter_version() -> str:
    """Return `COUNT_VERSION`, ``+``, and a hash of the counter's sources."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.iterdir()):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{COUNT_VERSION}+{digest.hexdigest()[:12]}"


def build_counter() -> Counter:
    """Build the counter, or take it from the cache.

    Raises:
        DeviceError: A compiler is missing or failed, and no package brings the counter.
        OutputError: The cache cannot be written.
    """
    version = counter_version()
    try:
        compiler, cross = _find_compiler(), find_toolchain("linux-arm64")
    except DeviceError as error:
        return _find_prebuilt(version, error)
    made_with = [version, output_of([compiler, "--version"]), cross.compiler_version]
    key = hashlib.sha256("\0".join(made_with).encode()).hexdigest()[:16]
    counter = Counter(folder=cache_folder() / "counter" / key, version=version)
    if _is_whole(counter):
        return counter
    with make_alone(counter.folder.parent) as temporary:
        if not _is_whole(counter):
            made = temporary / "made"
            made.mkdir()
            make_counter(made, [compiler], [cross.compiler])
            replace_folder(made, counter.folder)
    return counter


def make_counter(folder: Path, compiler: Sequence[str | Path], cross: Sequence[str | Path]) -> None:
    """Build both files.

    Args:
        folder: Where they go.
        compiler: How C for this computer is compiled: program and first arguments.
        cross: The same for ARM.

    Raises:
        DeviceError: A compiler failed.
    """
    # Named without their folder, which would stand in the file otherwise.
    sources = sorted(path.name for path in _SOURCES.glob("*.c"))
    _run([*compiler, *_FLAGS, *sources, "-o", (folder / _PLUGIN).absolute()])
    marks = ("-shared", "-nostdlib", "clock_marks.S")
    _run([*cross, *marks, "-o", (folder / _CLOCK_MARKS).absolute()])


def _find_prebuilt(version: str, missing: DeviceError) -> Counter:
    """Return the counter of the installed pfd-mobile-device.

    Raises:
        DeviceError: The package is not there, or was made of other sources; the line begins with
            what is missing for a build.
    """
    if os.environ.get("CC") or named_compiler("linux-arm64"):
        raise missing  # what was asked for is not passed over
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise DeviceError(f"{missing}; or install the wheel pfd-mobile-device") from missing
    place = Path(next(iter(spec.submodule_search_locations or ())))
    counter = Counter(folder=place / PREBUILT.format(version=version), version=version)
    if not _is_whole(counter):
        raise DeviceError(
            f"{missing}; the installed pfd-mobile-device has no counter of version {version}"
        ) from missing
    return counter


def _is_whole(counter: Counter) -> bool:
    return all(p.is_file() and p.stat().st_size > 0 for p in (counter.plugin, counter.clock_marks))


def _find_compiler() -> Path:
    wanted = os.environ.get("CC")
    for name in [wanted] if wanted else ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return Path(found)
    which = f"CC is {wanted!r}, which is no program" if wanted else "there is no C compiler"
    raise DeviceError(
        f"{which}, and the counter is built from C: apt-get install g++ on Debian, or set CC"
    )


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=_SOURCES,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "rror" in line]
        first = (errors or done.stderr.splitlines() or [f"status {done.returncode}"])[0]
        raise DeviceError(f"cannot build the counter with {command[0]}: {first.strip()[:300]}")
