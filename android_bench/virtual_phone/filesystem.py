"""The virtual phone's file system: in memory, in a mount namespace of its own.

What stands where is in ``rootfs.py`` and ``scripts.py``; here it is written and mounted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from android_bench.virtual_phone import kernel, rootfs, scripts

__all__ = ["ADBD_FOLDER", "build", "register_emulator", "write"]

ADBD_FOLDER = "apex/com.android.adbd"
_DATA_BYTES = 512 << 20
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

# The head of an aarch64 ELF program: 64 bits, little endian, type 2 or 3, machine 0xb7.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def build(files: Path, root: Path, *, adb: Path, userland: Path, emulated: Path) -> None:
    """Make the phone's files and mount what a phone has mounted.

    Args:
        files: Where the phone's files can be written from outside it.
        root: The same as the phone sees it: read-only but for ``/sys`` and ``/data``.
        adb: The unpacked package with adbd.
        userland: The unpacked packages with shell and commands.
        emulated: The unpacked package with the commands that tell the processor.
    """
    kernel.mount("none", Path("/"), options="rec,private")
    for place in (files, root):
        place.mkdir(exist_ok=True)
    kernel.mount("phone", files, "tmpfs", "nosuid,nodev", "mode=0755")
    folders = ("proc", "data", "dev/pts", "dev/properties", "system/bin", ADBD_FOLDER, "sdcard")
    for name in folders:
        (files / name).mkdir(parents=True)
    for name, text in rootfs.files().items():
        write(files, name, text)
    _programs(files, userland, emulated)
    _links(files)
    for name in _DEVICES:
        (files / "dev" / name).touch()
    for folder in (files / "sys").rglob("*"):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o555)  # its one user owns everything, and may not add files there
    kernel.mount(str(files), root, options="bind")
    kernel.mount("none", root, options="remount,bind,ro,nosuid,nodev")
    _mounts(files, root, adb)


def _mounts(files: Path, root: Path, adb: Path) -> None:
    kernel.mount(str(files / "sys"), root / "sys", options="bind")
    kernel.mount(str(adb), root / ADBD_FOLDER, options="bind")
    for name in _DEVICES:
        kernel.mount(f"/dev/{name}", root / "dev" / name, options="bind")
    kernel.mount("devpts", root / "dev/pts", "devpts", "", "newinstance,ptmxmode=0666")
    kernel.mount("data", root / "data", "tmpfs", "nosuid,nodev", f"size={_DATA_BYTES}")
    (root / "data/local/tmp").mkdir(parents=True)
    (root / "data/local/tmp").chmod(0o771)
    kernel.mount("proc", root / "proc", "proc", "nosuid,nodev,noexec")
    for name, target in (("cpuinfo", "cpuinfo"), ("boot_id", "sys/kernel/random/boot_id")):
        kernel.mount(str(files / "dev" / name), root / "proc" / target, options="bind")


def write(root: Path, name: str, text: str) -> None:
    """Write one file below the phone's root, readable by all and writable by root only."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o444)


def _programs(root: Path, userland: Path, emulated: Path) -> None:
    folder = root / "system/bin"
    shutil.copy(userland / "usr/bin/busybox", folder / "busybox")
    shutil.copy(userland / "usr/lib/x86_64-linux-musl/bin/mksh", folder / "sh")
    shutil.copy(emulated / "usr/bin/busybox", folder / "uname")
    for name, text in scripts.SCRIPTS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    listing = subprocess.run(
        [folder / "busybox", "--list"], capture_output=True, text=True, check=True
    )
    # A phone that is not rooted has no su.
    for name in set(listing.stdout.split()) - {"su"}:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to("busybox")


def _links(root: Path) -> None:
    (root / "bin").symlink_to("system/bin")
    cpus = root / "sys/devices/system/cpu"
    for cluster in rootfs.CLUSTERS:
        for core in cluster.cores:
            (cpus / f"cpu{core}/cpufreq").symlink_to(f"../cpufreq/policy{cluster.cores[0]}")
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    (root / "dev/fd").symlink_to("/proc/self/fd")


def register_emulator(root: Path, emulator: Path) -> None:
    """Have this user namespace, and no other, run aarch64 programs through qemu."""
    place = root / "proc/sys/fs/binfmt_misc"
    kernel.mount("binfmt_misc", place, "binfmt_misc")
    # F opens the interpreter now, so that it need not exist inside the phone; P hands on the
    # name a program was called by, which tells busybox what to be.
    entry = f":qemu-aarch64:M::{_MAGIC}:{_MASK}:{emulator}:PF"
    # The kernel takes an entry in one write or not at all.
    handle = os.open(place / "register", os.O_WRONLY)
    try:
        os.write(handle, entry.encode())
    finally:
        os.close(handle)
