"""A harness that was built elsewhere: the package pfd-mobile-device, which needs no compiler.

tools/build_device_bundle.py makes it: one folder for each target, with the same record as a build
here. It is taken when it was made of the sources and for the runtimes that are here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from android_bench.native_build.bundle import library_places
from android_bench.native_build.cache import cache_folder, make_alone, replace_folder
from android_bench.native_build.record import BuildRecord, read_whole_build
from android_bench.native_build.runtimes import Runtimes, find_runtimes, runtime_versions
from pfd_models.errors import DeviceError

__all__ = ["PACKAGE", "PREBUILT", "find_package", "find_prebuilt"]

PACKAGE = "pfd_mobile_device"
"""The module that `pip install pfd-mobile-device` brings."""

PREBUILT = {"host": "linux-x64", "linux-arm64": "linux-arm64"}
"""Target to the one that the package has for it, which is also the folder's name."""


def find_prebuilt(target: str, version: str, missing: DeviceError) -> tuple[Path, BuildRecord]:
    """Return the folder and the record of a prebuilt harness that fits.

    For a phone it lies where pip put it. For this computer it is linked, in the cache, to the
    runtimes' libraries, which it looks for beside itself.

    Args:
        target: As `build_harness` takes it.
        version: Of the sources that are here.
        missing: Why it cannot be built here.

    Raises:
        DeviceError: There is none, it is damaged, or it does not fit; the line begins with
            what is missing for a build.
        OutputError: The cache cannot be written.
    """
    if target not in PREBUILT or (target == "host" and not _is_linux_x64()):
        raise missing
    folder = find_package(missing) / PREBUILT[target]
    record = read_whole_build(folder)
    if record is None:
        raise DeviceError(
            f"{missing}; {folder} of pfd-mobile-device is damaged: install it again with "
            "pip install --force-reinstall"
        ) from missing
    wanted = runtime_versions(target)
    if (record.version, record.runtimes) != (version, wanted):
        raise DeviceError(
            f"{missing}; the installed pfd-mobile-device does not fit: it is version "
            f"{record.version} for {_listed(record.runtimes)}, and here is {version} with "
            f"{_listed(wanted)}"
        ) from missing
    if target == "host":
        folder = _linked(folder, record, find_runtimes(target))
    return folder, record


def find_package(missing: DeviceError) -> Path:
    """Return the folder of the installed pfd-mobile-device.

    Args:
        missing: Why what it brings cannot be built here.

    Raises:
        DeviceError: It is not installed; the line begins with what is missing for a build.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise DeviceError(f"{missing}; or install the wheel pfd-mobile-device") from missing
    return Path(next(iter(spec.submodule_search_locations or ())))


def _is_linux_x64() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text or '(none)'}" for name, text in versions.items())


def _linked(folder: Path, record: BuildRecord, runtimes: Runtimes) -> Path:
    """Return a copy that has links to the runtimes' libraries beside the engines."""
    places = {name: path.resolve() for name, (path, _) in library_places(runtimes).items()}
    parts = [file.sha256 for file in record.bundle.files]
    parts += [f"{name} {path}" for name, path in sorted(places.items())]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    place = cache_folder() / "native" / f"{record.target}-prebuilt-{key}"
    if read_whole_build(place):
        return place
    with make_alone(place.parent) as temporary:
        if not read_whole_build(place):  # another process may have been faster
            made = temporary / "made"
            shutil.copytree(folder, made)
            for name, path in places.items():
                (made / name).symlink_to(path)
            replace_folder(made, place)
    return place
