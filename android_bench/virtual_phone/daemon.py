"""The inside of the virtual phone: its first process, its file system, adbd and the hooks.

``python -m android_bench.virtual_phone.daemon FOLDER`` leaves the machine's user, network,
mount and process namespaces for new ones, builds the phone's files in memory there, registers
the emulator for aarch64 programs with the binfmt_misc of that user namespace alone, starts the
real adbd inside and then serves ``FOLDER/control.sock``. Nothing outside changes: no port is
opened on the machine, no binfmt entry appears there, and when the first process ends the kernel
ends all the others and forgets the mounts.

adbd asks nobody for a key and listens on every address, which is why it may only ever run in a
network namespace of its own. Who may use it is decided by the folder: only its owner can reach
the control socket, which hands out connections to adbd as open file handles.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from android_bench.virtual_phone import kernel, packages, rootfs
from android_bench.virtual_phone.control import serve
from android_bench.virtual_phone.filesystem import ADBD_FOLDER, build, register_emulator, write

__all__ = ["ADBD_PORT", "main"]

ADBD_PORT = 5600  # odd ports from 5555 to 5585 are listed a second time, as emulators
SHELL_USER = 2000
_START_TIMEOUT_S = 20.0

_LIBRARIES = "usr/lib/x86_64-linux-gnu"


class Phone:
    """State of the first process: where the phone's files are and which processes serve it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"  # as hooks write them
        self.root = folder / "root"  # as the phone sees them
        self.adb = packages.unpacked(packages.ADB)
        self.userland = packages.unpacked(packages.USERLAND)
        self.emulated = packages.unpacked(packages.EMULATED)
        self.emulator = packages.unpacked(packages.EMULATOR)
        self.adbd: int | None = None
        self.server: int | None = None
        self.as_root = False

    def build(self) -> None:
        """Make the file system; the emulator is registered apart, since kernels differ there."""
        sets = {"adb": self.adb, "userland": self.userland, "emulated": self.emulated}
        build(self.files, self.root, **sets)

    def restore(self, keep: str = "") -> None:
        """Put the files that hooks change back, and empty the data partition but for one folder."""
        known = rootfs.files()
        for name, text in known.items():
            self.write(name, text)
        for place in (self.root / "data/local/tmp").iterdir():
            if place.name == keep:
                continue
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink()
        for place in (self.files / "dev/properties").iterdir():
            if f"dev/properties/{place.name}" not in known:
                place.unlink()

    def register_emulator(self) -> None:
        """Have programs of the phone's kind run."""
        register_emulator(self.root, self.emulator / "usr/bin/qemu-aarch64-static")

    def write(self, name: str, text: str) -> None:
        """Write one file below the phone's root."""
        write(self.files, name, text)

    def new_boot(self) -> None:
        """Give the phone the identifier of a new boot."""
        self.write("dev/boot_id", f"{uuid.uuid4()}\n")

    def start_adbd(self) -> None:
        """Start adbd in the phone, as Android's shell user or as root, and wait for its port."""
        if self.adbd is not None:
            return
        libraries = f"/{ADBD_FOLDER}/{_LIBRARIES}"
        command = [
            f"{libraries}/ld-linux-x86-64.so.2",
            "--library-path",
            f"{libraries}:{libraries}/android",
            f"/{ADBD_FOLDER}/usr/lib/android-sdk/platform-tools/adbd",
        ]
        environment = {
            "ADBD_PORT": str(ADBD_PORT),
            "PATH": "/system/bin",
            "HOME": "/",
            "TMPDIR": "/data/local/tmp",
            "ANDROID_ROOT": "/system",
            "ANDROID_DATA": "/data",
            # The A77's instruction sets; qemu's default has more, and other kernels would run.
            "QEMU_CPU": "cortex-a76",
        }
        child = os.fork()
        if child == 0:
            with _last_words():
                os.setsid()
                self._log_to("adbd.log")
                if not self.as_root:
                    # Android's shell user: may read what this phone shows, and change nothing.
                    kernel.unshare(kernel.CLONE_NEWUSER)
                    kernel.map_to_one_user(SHELL_USER, 0, 0)
                os.chroot(self.root)
                os.chdir("/")
                os.execve(command[0], command, environment)
        self.adbd = child
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            with contextlib.suppress(OSError), self.dial():
                return
            self.reap()
            if self.adbd is None or time.monotonic() > deadline:
                raise OSError(errno.ECONNREFUSED, f"adbd did not start: {self._log('adbd.log')}")
            time.sleep(0.02)

    def start_server(self) -> None:
        """Start the platform adb's server beside adbd; it cannot start itself through ld.so."""
        child = os.fork()
        if child == 0:
            with _last_words():
                os.setsid()
                self._log_to("server.log")
                command = adb_command(self.adb)
                where = ["-L", f"localfilesystem:{self.folder}/adb.sock", "server", "nodaemon"]
                # Its keys are its own: the user's are for real phones.
                environment = {**os.environ, "HOME": str(self.folder)}
                os.execve(command[0], [*command, *where], environment)
        self.server = child

    def _log_to(self, name: str) -> None:
        handle = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (handle, 1), (handle, 2)):
            os.dup2(source, target)
        os.closerange(3, 256)

    def _log(self, name: str) -> str:
        lines = (self.folder / name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def dial(self) -> socket.socket:
        """Return a new connection to adbd, made inside the phone's network."""
        return socket.create_connection(("127.0.0.1", ADBD_PORT), timeout=1.0)

    def reap(self) -> None:
        """Take note of the processes that ended."""
        while True:
            try:
                ended, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if ended == 0:
                return
            if ended == self.adbd:
                self.adbd = None
            if ended == self.server:
                self.server = None

    def signal_adbd(self, number: int) -> None:
        """Signal adbd; after SIGKILL wait until it is gone."""
        if self.adbd is None:
            return
        os.kill(self.adbd, number)
        while number == signal.SIGKILL and self.adbd is not None:
            self.reap()
            time.sleep(0.005)

    def residents(self) -> list[int]:
        """Return the processes that run inside the phone's file system, by its own numbers."""
        here = os.stat(self.root)
        found = []
        for entry in (self.root / "proc").iterdir():
            if entry.name.isdigit() and entry.name != "1":
                with contextlib.suppress(OSError):
                    there = os.stat(entry / "root")
                    if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                        found.append(int(entry.name))
        return found


def adb_command(adb: Path) -> list[str]:
    """Return the platform adb from its unpacked package, started through its own loader."""
    libraries = adb / _LIBRARIES
    return [
        str(libraries / "ld-linux-x86-64.so.2"),
        "--library-path",
        f"{libraries}:{libraries}/android",
        str(adb / "usr/lib/android-sdk/platform-tools/adb"),
    ]


@contextlib.contextmanager
def _last_words() -> Iterator[None]:
    """In a forked child, print what failed and end: it must never go on as its parent."""
    try:
        yield
    except BaseException as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
    os._exit(127)


def main(arguments: list[str]) -> int:
    """Enter new namespaces, start the phone and serve it until told to stop.

    A line on standard output says ``ready`` or what failed. When standard input is a pipe, its
    end is the phone's end, so that a phone never outlives the test that started it.
    """
    folder = Path(arguments[0])
    user, group = os.getuid(), os.getgid()
    step = "user namespaces"
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
        kernel.map_to_one_user(0, user, group)
        step = "network, mount and process namespaces"
        kinds = kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID
        kernel.unshare(kinds | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    except OSError as error:
        return _failed(f"this machine allows no {step} ({error.strerror})")
    child = os.fork()
    if child:
        _let_go_of_output()
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    kernel.die_with_parent()
    # The first process of a namespace gets no signal that it did not ask for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    phone = Phone(folder)
    try:
        socket.sethostname("virtual-phone")
        kernel.set_loopback(True)
        phone.build()
        step = "binfmt_misc inside a user namespace, which came with Linux 6.7"
        phone.register_emulator()
        step = "adbd"
        phone.start_adbd()
        phone.start_server()
    except OSError as error:
        return _failed(f"this machine does not run {step} ({error})")
    return serve(phone, ready=_ready)


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    _let_go_of_output()


def _let_go_of_output() -> None:
    """Close standard output: whoever reads it waits until the last holder has."""
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)


def _failed(reason: str) -> int:
    sys.stdout.write(json.dumps({"failed": reason}) + "\n")
    sys.stdout.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
