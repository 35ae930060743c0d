"""What the virtual phone does when a hook asks: one JSON line in, one out, per connection.

Each operation is a function named as in the request. They are small on purpose; what a test
means by "heat the phone" is put together from them in ``hooks.py``.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import select
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from android_bench.virtual_phone import kernel

__all__ = ["Phone", "serve"]


class Phone(Protocol):
    """What the operations need of a phone; the daemon's first process is one.

    Attributes:
        folder: Where the control socket lies.
        files: The phone's files as hooks write them.
        root: The same as the phone sees them.
        adbd: The daemon's process; None when it does not run.
        server: The adb server's process; None when it does not run.
        as_root: Whether adbd runs as root when it is started.
    """

    folder: Path
    files: Path
    root: Path
    adbd: int | None
    server: int | None
    as_root: bool

    def write(self, name: str, text: str) -> None:
        """Write one file below the phone's root."""

    def restore(self, keep: str = "") -> None:
        """Put the files back, and empty the data partition but for one folder."""

    def new_boot(self) -> None:
        """Give the phone the identifier of a new boot."""

    def start_adbd(self) -> None:
        """Start adbd and wait for its port."""

    def signal_adbd(self, number: int) -> None:
        """Signal adbd; after SIGKILL wait until it is gone."""

    def dial(self) -> socket.socket:
        """Return a new connection to adbd."""

    def reap(self) -> None:
        """Take note of the processes that ended."""

    def residents(self) -> list[int]:
        """Return the processes that run inside the phone's file system, by its own numbers."""


def write(phone: Phone, request: dict[str, Any]) -> None:
    """Write a file below the phone's root."""
    phone.write(request["path"], request["text"])


def read(phone: Phone, request: dict[str, Any]) -> dict[str, Any]:
    """Return a file's text."""
    return {"text": (phone.files / request["path"]).read_text(errors="replace")}


def remove(phone: Phone, request: dict[str, Any]) -> None:
    """Remove a file; one that is not there is fine."""
    (phone.files / request["path"]).unlink(missing_ok=True)


def make_room(phone: Phone, request: dict[str, Any]) -> None:
    """Undo ``fill``."""
    (phone.root / "data/.ballast").unlink(missing_ok=True)


def network(phone: Phone, request: dict[str, Any]) -> None:
    """Bring the phone's network up or down; what is sent meanwhile is lost."""
    kernel.set_loopback(request["up"])


def start(phone: Phone, request: dict[str, Any]) -> None:
    """Start adbd, as root when asked, as ``adb root`` does."""
    phone.as_root = request.get("as_root", phone.as_root)
    phone.start_adbd()


def kill(phone: Phone, request: dict[str, Any]) -> None:
    """Kill adbd; commands it ran end with it, detached ones go on."""
    phone.signal_adbd(signal.SIGKILL)


def freeze(phone: Phone, request: dict[str, Any]) -> None:
    """Stop adbd without ending it: connections stay open and say nothing."""
    phone.signal_adbd(signal.SIGSTOP)


def thaw(phone: Phone, request: dict[str, Any]) -> None:
    """Let a stopped adbd go on."""
    phone.signal_adbd(signal.SIGCONT)


def reboot(phone: Phone, request: dict[str, Any]) -> None:
    """End every process inside the phone and start adbd with a new boot's identifier."""
    phone.signal_adbd(signal.SIGKILL)
    for process in phone.residents():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    phone.new_boot()
    phone.start_adbd()


def restore(phone: Phone, request: dict[str, Any]) -> None:
    """End what runs inside and put files back as they were; data are removed, one folder kept."""
    for process in phone.residents():
        if process != phone.adbd:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    phone.as_root = False
    phone.restore(request.get("keep", ""))


def fill(phone: Phone, request: dict[str, Any]) -> None:
    """Fill /data but for the given number of bytes."""
    place = phone.root / "data"
    left = os.statvfs(place)
    size = left.f_bavail * left.f_frsize - request["free_bytes"]
    with (place / ".ballast").open("ab") as file:
        if size > 0:
            os.posix_fallocate(file.fileno(), file.tell(), size)


def remount(phone: Phone, request: dict[str, Any]) -> None:
    """Change the mount options of /data, as ``nosuid,nodev,noexec``."""
    kernel.mount("data", phone.root / "data", "", f"remount,bind,{request['options']}")


def processes(phone: Phone, request: dict[str, Any]) -> dict[str, Any]:
    """Return the command lines of what runs inside the phone, adbd left out."""
    found = []
    for process in phone.residents():
        with contextlib.suppress(OSError):
            line = (phone.root / f"proc/{process}/cmdline").read_bytes()
            if process != phone.adbd and line:
                found.append(line.rstrip(b"\0").decode(errors="replace").split("\0"))
    return {"processes": found}


def alive(phone: Phone, request: dict[str, Any]) -> dict[str, Any]:
    """Return whether adbd and the adb server run."""
    return {"adbd": phone.adbd is not None, "server": phone.server is not None}


_OPERATIONS: dict[str, Callable[[Phone, dict[str, Any]], dict[str, Any] | None]] = {
    operation.__name__: operation
    for operation in (
        *(
            write,
            read,
            remove,
            network,
            start,
            kill,
            freeze,
            thaw,
            reboot,
            restore,
            fill,
            make_room,
            remount,
        ),
        *(processes, alive),
    )
}


def serve(phone: Phone, ready: Callable[[], None]) -> int:
    """Answer requests until one says ``stop`` or standard input, when a pipe, ends."""
    lifeline = stat.S_ISFIFO(os.fstat(0).st_mode)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(phone.folder / "control.sock"))
        listener.listen(64)
        ready()
        watched: list[Any] = [listener, sys.stdin] if lifeline else [listener]
        while True:
            readable, _, _ = select.select(watched, [], [], 0.2)
            phone.reap()
            if sys.stdin in readable:
                return 0
            if listener in readable:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5.0)
                    if not _answer(phone, connection):
                        return 0


def _answer(phone: Phone, connection: socket.socket) -> bool:
    """Carry out one request; return False when it asked to stop."""
    with connection.makefile("rb") as stream:
        request = json.loads(stream.readline())
    if request["do"] == "stop":
        connection.sendall(b"{}\n")
        return False
    handles = array.array("i")
    adbd: socket.socket | None = None
    try:
        if request["do"] == "dial":
            adbd = phone.dial()
            handles.append(adbd.fileno())
            reply: dict[str, Any] = {}
        else:
            reply = _OPERATIONS[request["do"]](phone, request) or {}
    except OSError as error:
        reply = {"error": error.strerror or str(error), "errno": error.errno}
    except Exception as error:  # the phone goes on, and the caller is told
        reply = {"error": f"{type(error).__name__}: {error}", "errno": errno.EINVAL}
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles)] if handles else []
    connection.sendmsg([json.dumps(reply).encode() + b"\n"], rights)
    if adbd is not None:
        adbd.close()
    return True
