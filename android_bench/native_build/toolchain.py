"""The tools that build the native harness, CMake and a C++20 compiler: found, or what to get."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from android_bench.native_build.ndk import ndk_compiler
from pfd_models.errors import DeviceError

__all__ = ["TARGETS", "Toolchain", "find_cmake", "find_toolchain", "named_compiler", "output_of"]

LEAST_CMAKE = (3, 28)
"""Before it, CMake writes the token $ORIGIN wrongly (executorch-config.cmake, ExecuTorch 1.5.1)."""

LEAST_COMPILER = {"gcc": (11,), "clang": (14,)}
"""The first releases whose C++20 library has what the harness uses."""

TARGETS = ("host", "linux-x64", "linux-arm64", "android-arm64")

_COMPILERS = {
    "host": ("c++", "g++", "clang++"),
    "linux-x64": ("c++", "g++", "clang++"),
    "linux-arm64": ("aarch64-linux-gnu-g++",),
}
_VARIABLES = {"host": "CXX", "linux-x64": "CXX", "linux-arm64": "PFD_ARM64_CXX"}
_MACHINES = {"linux-x64": "x86_64", "linux-arm64": "aarch64"}
_REMEDIES = {
    "host": "install g++ 11 or newer (Debian and Ubuntu: apt-get install g++) or set CXX",
    "linux-x64": "call this on an x86-64 computer with g++ 11 or newer",
    "linux-arm64": "install Debian's or Ubuntu's cross compiler (apt-get install "
    "g++-aarch64-linux-gnu) or set PFD_ARM64_CXX",
    "android-arm64": "set ANDROID_NDK to the folder of an NDK r26 or newer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """What a build is made with.

    Attributes:
        target: One of `TARGETS`.
        cmake: The program.
        compiler: The program.
        compiler_arguments: What stands before all others in a call of it.
        compiler_version: Its first line of ``--version``.
        compiler_target: The machine it writes code for, as ``aarch64-linux-gnu``.
        library_folder: Where a bundle's system libraries are, when not in the compiler.
        options: More for CMake.
        licence_texts: Package to licence, of what the compiler links into each program.
    """

    target: str
    cmake: Path
    compiler: Path
    compiler_arguments: tuple[str, ...] = ()
    compiler_version: str
    compiler_target: str
    library_folder: Path | None = None
    options: tuple[str, ...] = ()
    licence_texts: Mapping[str, str] = field(default_factory=dict)

    def library(self, name: str) -> Path | None:
        """Return a library of the compiler's own system, or None when it has none of that name."""
        if self.library_folder is not None:
            there = self.library_folder / name
            return there if there.is_file() else None
        path = Path(output_of([self.compiler, f"-print-file-name={name}"]))
        return path.resolve() if path.is_absolute() and path.exists() else None


def find_toolchain(target: str) -> Toolchain:
    """Find what a target is built with.

    Raises:
        DeviceError: A tool is missing or too old; the line says where to get it.
    """
    compiler = _find_compiler(target)
    version = output_of([compiler, "--version"]).partition("\n")[0]
    machine = output_of([compiler, "-dumpmachine"])
    _require_new_enough(target, compiler, version)
    wanted = _MACHINES.get(target, "")
    if not machine.startswith(wanted):
        raise DeviceError(f"{compiler} builds for {machine}, not for {wanted}: {_REMEDIES[target]}")
    return Toolchain(
        target=target,
        cmake=find_cmake(),
        compiler=compiler,
        compiler_version=version,
        compiler_target=machine,
    )


def named_compiler(target: str) -> str:
    """Return the compiler that the environment names for a target, or nothing."""
    return os.environ.get(_VARIABLES.get(target, ""), "")


def output_of(command: Sequence[str | Path]) -> str:
    """Return what a short command prints, or nothing when it does not run or fails."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _find_compiler(target: str) -> Path:
    if target == "android-arm64":
        return ndk_compiler()
    variable = _VARIABLES[target]
    wanted = named_compiler(target)
    for name in [wanted] if wanted else _COMPILERS[target]:
        if found := shutil.which(name):
            return Path(found)
    which = f"{variable} is {wanted!r}, which is no program" if wanted else "no C++ compiler found"
    raise DeviceError(f"{which} for {target}: {_REMEDIES[target]}")


def _require_new_enough(target: str, compiler: Path, version: str) -> None:
    family = "clang" if "clang" in version else "gcc"
    text = output_of([compiler, "-dumpfullversion" if family == "gcc" else "-dumpversion"])
    have = _numbers(text)
    least = LEAST_COMPILER[family]
    if have < least:
        raise DeviceError(
            f"{compiler} is {family} {text or '(unknown)'} and the harness needs "
            f"{family} {least[0]} for C++20: {_REMEDIES[target]}"
        )


def find_cmake() -> Path:
    """Return the first CMake that is new enough: of this environment, then of PATH."""
    candidates = []
    if spec := importlib.util.find_spec("cmake"):  # PyPI's package brings the program
        package = Path(spec.origin or "").parent
        candidates.append(package / "data" / "bin" / "cmake")
    if on_path := shutil.which("cmake"):
        candidates.append(Path(on_path))
    seen = []
    for cmake in candidates:
        version = re.search(r"cmake version (\S+)", output_of([cmake, "--version"]))
        if version and _numbers(version.group(1)) >= LEAST_CMAKE:
            return cmake
        if version:
            seen.append(f"{cmake} is {version.group(1)}")
    need = ".".join(map(str, LEAST_CMAKE))
    reason = f" ({', '.join(seen)})" if seen else ""
    raise DeviceError(f"no CMake {need} or newer found{reason}: pip install 'cmake>={need}'")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
