"""What Linux, macOS and Windows call differently, for a computer that a phone hangs on.

Whatever lies on a phone's way asks here; none of it imports what one system alone has. Measuring
on this computer itself, and the virtual phone, need Linux and say so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pfd_models.errors import DeviceError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = [
    "LINUX_SIGKILL",
    "OWN_GROUP",
    "cpu_seconds_used",
    "kill_group",
    "lock_file",
    "open_shared",
    "require_linux",
    "shared_folder",
    "usable_cpus",
]

LINUX_SIGKILL = 9
"""The number that a phone reports; Windows knows no such signal."""

OWN_GROUP: Mapping[str, Any] = (
    {"creationflags": 0x200}  # CREATE_NEW_PROCESS_GROUP
    if sys.platform == "win32"
    else {"start_new_session": True}
)
"""What `subprocess.Popen` takes so that `kill_group` ends a process with its children."""

# Beyond what a lock's file holds: on Windows nobody can read bytes that are locked.
_LOCKED_BYTE = 1 << 30
_RETRY_S = 0.1


def require_linux(what: str) -> None:
    """Refuse what other systems cannot do.

    Args:
        what: Begins the line, as ``measuring on this computer``.

    Raises:
        DeviceError: This is not Linux.
    """
    if sys.platform != "linux":
        this = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
        raise DeviceError(f"{what} needs Linux, and this is {this}: name a phone with --serial")


def lock_file(descriptor: int, *, wait: bool = True) -> None:
    """Hold an open file alone, until it is closed or this process ends, however it ends.

    Args:
        descriptor: Of a file that is open for writing.
        wait: Whether to wait for another holder.

    Raises:
        BlockingIOError: Another holds it and `wait` is false.
    """
    if sys.platform == "win32":
        _lock_on_windows(descriptor, wait)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _lock_on_windows(descriptor: int, wait: bool) -> None:
    if sys.platform == "win32":
        while True:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                break
            except OSError as error:
                if not wait:
                    text = "another process holds the lock"
                    raise BlockingIOError(error.errno, text) from error
            time.sleep(_RETRY_S)  # Windows tells nobody when a lock is free


def open_shared(path: Path) -> int:
    """Open a file that every user of this computer may write, made when missing.

    Returns:
        Its descriptor, for reading and writing.

    Raises:
        OSError: It cannot be opened, or is a link.
    """
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    try:
        # Without O_CREAT: sticky folders refuse it on the files of others.
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o666)
        if sys.platform != "win32":
            os.fchmod(descriptor, 0o666)
        return descriptor


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that was started with `OWN_GROUP`, and its children; one that is gone stays.

    On Windows a console's group cannot be killed from outside: the process alone is.
    """
    if sys.platform == "win32":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def usable_cpus() -> tuple[int, ...]:
    """Return the CPUs this process may use, which a container can narrow; all where none tells."""
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cpu_seconds_used() -> float:
    """Return the CPU time of this process and of its children that have ended, in seconds."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def shared_folder() -> Path:
    """Return a folder for temporary files that all users of this computer see."""
    return Path("/tmp") if sys.platform != "win32" else Path(tempfile.gettempdir())
