"""The kernel's calls for namespaces and mounts that Python 3.11 has no names for.

Each raises OSError with the kernel's reason. Linux only.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

__all__ = [
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "die_with_parent",
    "map_to_one_user",
    "mount",
    "set_loopback",
    "setns",
    "unshare",
]

# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# linux/mount.h
_MOUNT_FLAGS = {
    "ro": 0x1,
    "nosuid": 0x2,
    "nodev": 0x4,
    "noexec": 0x8,
    "remount": 0x20,
    "bind": 0x1000,
    "rec": 0x4000,
    "private": 0x40000,
}

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SIGKILL = 9
_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1  # linux/if.h


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Leave the namespaces of the given kinds for new ones."""
    _call("unshare", _libc().unshare, ctypes.c_int(flags))


def setns(handle: int, kind: int) -> None:
    """Enter the namespace of an open ``/proc/PID/ns/…`` file."""
    _call("setns", _libc().setns, ctypes.c_int(handle), ctypes.c_int(kind))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that happens."""
    _call("prctl", _libc().prctl, _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def mount(source: str, target: Path, kind: str = "", options: str = "", data: str = "") -> None:
    """Attach a file system, as the command of that name does with these options and data."""
    flags = 0
    for word in filter(None, options.split(",")):
        flags |= _MOUNT_FLAGS[word]
    _call(
        f"mount {target}",
        _libc().mount,
        source.encode(),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        data.encode(),
    )


def map_to_one_user(inside: int, outside_user: int, outside_group: int) -> None:
    """Say which user and group this new user namespace's only ones are outside."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {outside_user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {outside_group} 1")


def set_loopback(up: bool) -> None:
    """Bring this network namespace's loopback interface up or down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))
