"""Building the counter: the emulator's plugin for this computer, and two libraries for ARM.

The sources that decide what is counted lie in ``counter/``, and what shows the engines their
processor in ``emulated/``. All is built on first use and kept by content; without a
compiler all is that of the package pfd-mobile-device, when it was made of the same sources.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.arm_cost.core import CPUINFO
from android_bench.native_build.cache import cache_folder, make_alone, replace_folder
from android_bench.native_build.prebuilt import find_package
from android_bench.native_build.toolchain import find_toolchain, named_compiler, output_of
from pfd_models.errors import DeviceError

__all__ = ["Counter", "build_counter", "counter_version", "make_counter", "prebuilt_name"]

_SOURCES = Path(__file__).parent / "counter"
_CPUINFO_SOURCE = Path(__file__).parent / "emulated" / "cpuinfo.c"
_PLUGIN, _CLOCK_MARKS, _CPUINFO = "counter.so", "clock_marks.so", "cpuinfo.so"
_FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A counter that is ready to be used.

    Attributes:
        folder: Holds all three files.
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

    @property
    def cpuinfo(self) -> Path:
        """Return what the emulated program loads where the emulator shows it another processor."""
        return self.folder / _CPUINFO


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


def prebuilt_name() -> str:
    """Return the folder of pfd-mobile-device that holds what these sources make."""
    cpuinfo = hashlib.sha256(_CPUINFO_SOURCE.read_bytes()).hexdigest()[:8]
    return f"counter-{counter_version()}-{cpuinfo}"


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
    made_with.append(_CPUINFO_SOURCE.read_text())
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
    """Build all three files.

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
    library = (*cross, "-shared", "-nostdlib")
    _run([*library, "clock_marks.S", "-o", (folder / _CLOCK_MARKS).absolute()])
    cpuinfo = (
        "-O2",
        "-fPIC",
        f'-DPFD_CPUINFO="{CPUINFO}"',
        "-xc",
        f"../emulated/{_CPUINFO_SOURCE.name}",
    )
    _run([*library, *cpuinfo, "-o", (folder / _CPUINFO).absolute()])


def _find_prebuilt(version: str, missing: DeviceError) -> Counter:
    """Return the counter of the installed pfd-mobile-device.

    Raises:
        DeviceError: The package is not there, or was made of other sources; the line begins with
            what is missing for a build.
    """
    if os.environ.get("CC") or named_compiler("linux-arm64"):
        raise missing  # what was asked for is not passed over
    counter = Counter(folder=find_package(missing) / prebuilt_name(), version=version)
    if not _is_whole(counter):
        raise DeviceError(
            f"{missing}; the installed pfd-mobile-device has no counter of version {version}"
        ) from missing
    return counter


def _is_whole(counter: Counter) -> bool:
    files = (counter.plugin, counter.clock_marks, counter.cpuinfo)
    return all(p.is_file() and p.stat().st_size > 0 for p in files)


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
