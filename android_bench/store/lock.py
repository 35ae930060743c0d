"""One bench on a device at a time, also after a crash.

Two locks, because hosts and stores multiply in different ways:

* a file lock on this host, held by the kernel for the life of the process: it needs no clean-up
  after a crash and holds across stores;
* a row in the store, for a device that several hosts can reach: it goes stale when its host's
  file lock is free again, or, for another host, when its heartbeat is older than `STALE_S`.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sqlalchemy import delete, or_, select, update

from android_bench.store.archive import Store
from android_bench.store.queries import insert_unless_known
from android_bench.store.schema import locks
from pfd_models.errors import DeviceError, OutputError

__all__ = ["STALE_S", "DeviceLock", "device_lock"]

STALE_S = 600.0  # a campaign renews between blocks, and no block takes ten minutes
LOCK_FOLDER = Path("/tmp/pfd-bench-locks")  # the same for all users of the host


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLock:
    """A held lock. `renew` it between blocks."""

    store: Store
    serial: str
    token: str

    def renew(self) -> None:
        """Say that this bench is alive.

        Raises:
            DeviceError: Another host took the device because this one was silent too long.
        """
        mine = (locks.c.serial == self.serial) & (locks.c.token == self.token)
        with self.store.writing() as connection:
            done = connection.execute(update(locks).where(mine).values(heartbeat_s=time.time()))
        if done.rowcount != 1:
            raise DeviceError(
                f"device {self.serial!r} was taken by another bench after {STALE_S:.0f} s of "
                "silence; resume the campaign when it is free"
            )


@contextlib.contextmanager
def device_lock(
    store: Store, serial: str, *, folder: Path = LOCK_FOLDER, host: str | None = None
) -> Iterator[DeviceLock]:
    """Hold a device for this process.

    Args:
        store: Where other hosts look.
        serial: The device's serial.
        folder: Where the lock files of this host lie.
        host: This host's name; the system's by default.

    Raises:
        DeviceError: Another bench holds it; the line says which.
        OutputError: The lock file cannot be made.
    """
    host = host or socket.gethostname()
    with _file_lock(folder, serial):
        lock = _take_row(store, serial, host)
        try:
            yield lock
        finally:
            with store.writing() as connection:
                connection.execute(delete(locks).where(locks.c.token == lock.token))


@contextlib.contextmanager
def _file_lock(folder: Path, serial: str) -> Iterator[None]:
    readable = re.sub(r"[^A-Za-z0-9.-]", "_", serial)[:40]
    path = folder / f"{readable}-{sha256(serial.encode()).hexdigest()[:12]}.lock"
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 80, 0).decode(errors="replace").strip() or "a process"
            raise DeviceError(
                f"device {serial!r} is in use by another bench on this host ({holder}); "
                "wait for it or stop it"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # releases the lock; the file stays, a new one would be another lock


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o1777)  # other users of this host lock the same devices
        try:
            return os.open(
                path, flags
            )  # without O_CREAT: sticky folders refuse it on others' files
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            os.fchmod(descriptor, 0o666)
            return descriptor
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot lock {path}: {reason}; remove it or ask its owner") from error


def _take_row(store: Store, serial: str, host: str) -> DeviceLock:
    lock = DeviceLock(store=store, serial=serial, token=secrets.token_hex(8))
    now = time.time()
    # The file lock is ours, so a row of this host was left by a process that is gone.
    stale = or_(locks.c.host == host, locks.c.heartbeat_s < now - STALE_S)
    row = {
        "serial": serial,
        "token": lock.token,
        "host": host,
        "pid": os.getpid(),
        "since_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "heartbeat_s": now,
    }
    with store.writing() as connection:
        connection.execute(delete(locks).where(locks.c.serial == serial, stale))
        insert_unless_known(connection, locks, [row])
        query = select(locks).where(locks.c.serial == serial)
        holder = connection.execute(query).mappings().one()
    if holder["token"] != lock.token:
        raise DeviceError(
            f"device {serial!r} is in use by pid {holder['pid']} on {holder['host']} since "
            f"{holder['since_utc']}; wait for it, it is free {STALE_S:.0f} s after its last sign"
        )
    return lock
