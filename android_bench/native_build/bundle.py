"""What goes to a device: the program, the engines, their libraries and a C library of its own.

A device's system library may be older or another one (Android's bionic), so the bundle brings
the loader and every library that the loader will ask for, and is started through that loader:
``./ld-linux-aarch64.so.1 --library-path . ./pfd_bench``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from android_bench.native_build.elf import needed_libraries
from android_bench.native_build.ndk import SYSTEM_LIBRARIES
from android_bench.native_build.record import BundleFile, BundleRecord
from android_bench.native_build.runtimes import Runtimes
from android_bench.native_build.toolchain import Toolchain
from export.sets.files import sha256_file
from pfd_models.errors import DeviceError

__all__ = ["LOADER", "collect", "library_places"]

LOADER = "ld-linux-aarch64.so.1"

# SPDX; the run-time libraries of GCC may be passed on with any program they are linked to.
_LICENCES = {
    "pfd-mobile": "Apache-2.0",
    "executorch": "BSD-3-Clause",
    "ai-edge-litert": "Apache-2.0",
    "glibc": "LGPL-2.1-or-later",
    "gcc": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
_OF_GCC = ("libstdc++", "libgcc_s", "libgomp", "libatomic")


def collect(folder: Path, runtimes: Runtimes, toolchain: Toolchain) -> BundleRecord:
    """Copy what the built program needs beside it and return what is there then.

    For a computer nothing is copied: the libraries are those of its own wheels.

    Args:
        folder: Holds the program and the engines; libraries are copied into it.
        runtimes: Where the engines' libraries are.
        toolchain: Whose system library is taken.

    Raises:
        DeviceError: A library that is needed is in neither.
    """
    ours = sorted(p.name for p in folder.iterdir() if p.is_file())
    origins = dict.fromkeys(ours, "pfd-mobile")
    loader = LOADER if toolchain.target == "linux-arm64" else ""
    if toolchain.target.endswith("-arm64"):
        origins |= _add_libraries(
            folder, [*([loader] if loader else []), *ours], runtimes, toolchain
        )
    files = tuple(_describe(folder / name, origin) for name, origin in sorted(origins.items()))
    return BundleRecord(
        loader=loader,
        files=files,
        size_bytes=sum(file.size_bytes for file in files),
        licence_texts=_save_licences(folder, {**runtimes.licences, **toolchain.licence_texts}),
    )


def _add_libraries(
    folder: Path, names: Sequence[str], runtimes: Runtimes, toolchain: Toolchain
) -> dict[str, str]:
    """Copy the libraries that some files need, and those that these need; name to origin."""
    places = library_places(runtimes)
    # Bionic programs use the phone's own loader and system libraries.
    there_already = SYSTEM_LIBRARIES if toolchain.target == "android-arm64" else frozenset[str]()
    added: dict[str, str] = {}
    seen = set(names)
    waiting = [*names, *_opened_by_name(names)]
    while waiting:
        name = waiting.pop()
        if not (folder / name).exists():
            source, added[name] = _source(name, places, toolchain)
            shutil.copyfile(source, folder / name)
        needed = set(needed_libraries(folder / name)) - there_already - seen
        seen |= needed
        waiting += sorted(needed)
    return added


def library_places(runtimes: Runtimes) -> dict[str, tuple[Path, str]]:
    """Return file name to its place and package."""
    found = {}
    if runtimes.executorch:
        for path in (runtimes.executorch / "lib").glob("*.so"):
            found[path.name] = (path, "executorch")
    if runtimes.litert:
        found["libLiteRt.so"] = (runtimes.litert / "libLiteRt.so", "ai-edge-litert")
    return found


def _opened_by_name(ours: Iterable[str]) -> list[str]:
    return ["libLiteRt.so"] if "pfd_engine_litert.so" in ours else []


def _source(
    name: str, places: Mapping[str, tuple[Path, str]], toolchain: Toolchain
) -> tuple[Path, str]:
    if name in places:
        return places[name]
    path = toolchain.library(name)
    if path is None:
        raise DeviceError(
            f"{name} is needed on the device and neither a runtime nor {toolchain.compiler} has "
            "it: install the compiler's C and C++ libraries for that machine"
        )
    return path, "gcc" if name.startswith(_OF_GCC) else "glibc"


def _describe(path: Path, origin: str) -> BundleFile:
    runs = path.name == LOADER or path.suffix == ""
    path.chmod(0o755 if runs else 0o644)
    return BundleFile(
        file=path.name,
        size_bytes=path.stat().st_size,
        sha256=sha256_file(path),
        origin=origin,
        licence=_LICENCES[origin],
        executable=runs,
    )


def _save_licences(folder: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Write the runtimes' licence texts below the bundle; they need not be pushed."""
    names = {}
    for package, text in texts.items():
        if text:
            path = folder / "licences" / f"{package}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            names[package] = f"licences/{path.name}"
    return names
