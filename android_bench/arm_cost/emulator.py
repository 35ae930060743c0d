"""A QEMU that runs aarch64 programs, takes plugins and shows them the processor that we choose.

QEMU's user-mode emulation up to 8.1 opens the ``/proc/cpuinfo`` of the folder that stands for the
phone. Later versions write their own from ``-cpu``, and none of them has a Cortex-A77, so the
engines would choose kernels for another core: there a library is loaded first that opens ours.
Debian 12 has 7.2. Debian 13 has 10.0, linked statically, which takes no plugin: there Debian 12's
package is fetched, as the virtual phone fetches its own, and started through its own loader.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from android_bench.errors import VirtualPhoneError
from android_bench.native_build.toolchain import output_of
from android_bench.virtual_phone.packages import PackageSet, unpacked
from pfd_models.errors import DeviceError

__all__ = ["VARIABLE", "Emulator", "find_emulator"]

VARIABLE = "PFD_QEMU_AARCH64"

_OWN_PROCESSOR = (8, 2)
_INSTALL = (
    f"apt-get install qemu-user on Debian 12, or set {VARIABLE} to a QEMU that takes plugins "
    "(4.2 or newer)"
)
_DEBIAN_12 = PackageSet(
    name="qemu-user-bookworm-amd64-1",
    suite="bookworm",
    architecture="amd64",
    packages=("qemu-user",),
    keep=(
        "usr/bin/qemu-aarch64",
        "lib/x86_64-linux-gnu/*.so*",
        "lib64/*",
        "usr/lib/x86_64-linux-gnu/*.so*",
        "usr/share/doc/*/copyright",
    ),
    with_dependencies=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """An emulator that can count.

    Attributes:
        command: What starts it.
        version: Its own, as ``7.2.22``.
        shows_own_processor: Whether programs that open ``/proc/cpuinfo`` read what the emulator
            writes, and not the file of the folder that stands for the phone.
    """

    command: tuple[str, ...]
    version: str
    shows_own_processor: bool = False

    @property
    def title(self) -> str:
        """Return what a record calls it."""
        return f"qemu-aarch64 {self.version}"


def find_emulator() -> Emulator:
    """Find an emulator: the one that is named, the one on PATH, or Debian 12's, fetched.

    Raises:
        DeviceError: There is none that can count; the line says what to install.
    """
    if named := os.environ.get(VARIABLE):
        reason, emulator = _examine((named,))
        if emulator is None:
            raise DeviceError(f"{VARIABLE} is {named!r}, which {reason}: {_INSTALL}")
        return emulator
    reason = "there is no qemu-aarch64"
    if found := shutil.which("qemu-aarch64"):
        why, emulator = _examine((found,))
        if emulator is not None:
            return emulator
        reason = f"{found} {why}"
    return _fetched(reason)


@cache
def _examine(command: tuple[str, ...]) -> tuple[str, Emulator | None]:
    """Return why an emulator cannot count, or the emulator."""
    said = output_of([*command, "--version"])
    version = re.search(r"^qemu-aarch64 version (\d+\.\d+\S*)", said)
    if version is None:
        return "is no qemu-aarch64 that runs here", None
    if "-plugin" not in output_of([*command, "--help"]):
        return f"is version {version[1]} and takes no plugins", None
    numbers = tuple(int(part) for part in re.findall(r"\d+", version[1])[:2])
    own = numbers >= _OWN_PROCESSOR
    return "", Emulator(command=command, version=version[1], shows_own_processor=own)


def _fetched(reason: str) -> Emulator:
    if platform.machine() != "x86_64":
        raise DeviceError(f"nothing can count here, as {reason}: {_INSTALL}")
    try:
        folder = unpacked(_DEBIAN_12)
    except VirtualPhoneError as error:
        raise DeviceError(
            f"nothing can count here, as {reason}, and Debian 12's cannot be had ({error}): "
            f"{_INSTALL}"
        ) from error
    libraries = [folder / "usr/lib/x86_64-linux-gnu", folder / "lib/x86_64-linux-gnu"]
    loader = _loader(folder, libraries)
    why, emulator = _examine(
        (
            str(loader),
            "--library-path",
            os.pathsep.join(map(str, libraries)),
            str(folder / "usr/bin/qemu-aarch64"),
        )
    )
    if emulator is None:
        raise DeviceError(f"the emulator in {folder} {why}: remove that folder and call again")
    return emulator


def _loader(folder: Path, libraries: list[Path]) -> Path:
    for place in libraries:
        if (place / "ld-linux-x86-64.so.2").is_file():
            return place / "ld-linux-x86-64.so.2"
    raise DeviceError(f"{folder} holds no loader: remove that folder and call again")
