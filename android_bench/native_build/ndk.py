"""The target ``android-arm64``: bionic programs, made with an NDK. An option, and untested.

Phones need none of this: the default target brings its own C library. What is needed here does
not come from PyPI, so each part is named by a variable of the environment:

    ANDROID_NDK             the NDK's folder (r26 or newer)
    PFD_LITERT_ANDROID      LiteRT's AAR, or a folder with its arm64-v8a libLiteRt.so
    PFD_EXECUTORCH_ANDROID  the install prefix of ExecuTorch's own Android build
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from export.sets.files import atomic_write, sha256_file
from pfd_models.errors import DeviceError

__all__ = ["API_LEVEL", "SYSTEM_LIBRARIES", "find_executorch", "find_litert", "ndk_compiler"]

API_LEVEL = 26
"""Android 8."""

SYSTEM_LIBRARIES = frozenset({"libc.so", "libdl.so", "liblog.so", "libm.so", "libandroid.so"})
"""What every phone has (NDK documentation, native APIs)."""

_MEMBER = "jni/arm64-v8a/libLiteRt.so"


def ndk_compiler() -> Path:
    """Return the NDK's C++ compiler for arm64 phones.

    Raises:
        DeviceError: There is no NDK; the line says what to set.
    """
    named = os.environ.get("ANDROID_NDK")
    if not named:
        raise DeviceError(
            "the target android-arm64 needs an NDK: set ANDROID_NDK to its folder, or leave "
            "--target out, which needs none"
        )
    name = f"aarch64-linux-android{API_LEVEL}-clang++"
    found = sorted(Path(named).glob(f"toolchains/llvm/prebuilt/*/bin/{name}"))
    if not found:
        raise DeviceError(
            f"ANDROID_NDK is {named!r}, which has no {name} below toolchains/llvm/prebuilt: name "
            "the folder of an NDK r26 or newer"
        )
    return found[0]


def find_litert(cache: Path) -> Path | None:
    """Return the folder with LiteRT's library for phones; None where none is named.

    Args:
        cache: Where an AAR is unpacked.

    Raises:
        DeviceError: What is named has no such library.
    """
    named = os.environ.get("PFD_LITERT_ANDROID")
    if not named:
        return None
    path = Path(named)
    if (path / "libLiteRt.so").is_file():
        return path
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise DeviceError(
            f"PFD_LITERT_ANDROID is {named!r}: name LiteRT's AAR, or a folder with libLiteRt.so"
        )
    folder = cache / "aar" / sha256_file(path)[:16]
    with zipfile.ZipFile(path) as archive:
        if _MEMBER not in archive.namelist():
            raise DeviceError(f"{named} has no {_MEMBER}: name LiteRT's AAR for Android")
        atomic_write(folder / "libLiteRt.so", archive.read(_MEMBER))
    return folder


def find_executorch() -> Path | None:
    """Return the install prefix of ExecuTorch's Android build; None where none is named.

    Raises:
        DeviceError: What is named is none.
    """
    named = os.environ.get("PFD_EXECUTORCH_ANDROID")
    if not named:
        return None
    if not list(Path(named).rglob("executorch-config.cmake")):
        raise DeviceError(
            f"PFD_EXECUTORCH_ANDROID is {named!r}, which has no executorch-config.cmake: name the "
            "install prefix of ExecuTorch's Android build"
        )
    return Path(named)
