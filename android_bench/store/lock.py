"""One bench on a device at a time, also after a crash.

Two locks, because hosts and stores multiply in different ways:

* a file lock on this host, held by the kernel for the life of the process: it needs no clean-up
  after a crash and holds across stores;
* a row in the store, for a device that several hosts can reach: it goes stale when its host's
  file lock is free again, or, for another host, when its last renewal is older than `STALE_S` by
  the clock of the database.

The bench renews the row before each block. Where no such call comes for `RENEW_S`, as in a long
build or pass, a thread does: it sleeps but for one short statement, and leaves a block that is
being timed alone.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from android_bench.store.archive import Store
from android_bench.store.queries import insert_unless_known
from android_bench.store.schema import locks
from pfd_models.errors import DeviceError, OutputError, PfdError
from pfd_models.operating_system import lock_file, open_shared, shared_folder

__all__ = ["QUIET_S", "RENEW_S", "STALE_S", "DeviceLock", "device_lock"]

STALE_S = 600.0
RENEW_S = STALE_S / 5  # four renewals may fail
# Blocks take seconds. What takes this long, a wait in it or a slow device, bears one statement.
QUIET_S = STALE_S / 2
_RETRY_S = 10.0
_PATIENCE_S = 5.0  # for the thread to end; it may wait for a server that is gone

LOCK_FOLDER = shared_folder() / "pfd-bench-locks"


class DeviceLock:
    """A held lock.

    Attributes:
        store: Where other hosts look.
        serial: The device's.
        token: Tells this holder from all others.
    """

    def __init__(self, store: Store, serial: str) -> None:
        self.store = store
        self.serial = serial
        self.token = secrets.token_hex(8)
        self._turn = threading.Lock()
        self._renewed = time.monotonic()
        self._longest_s = RENEW_S
        self._ended = threading.Event()

    def renew(self) -> None:
        """Say that this bench is alive: before each block and after each long step.

        Raises:
            DeviceError: Another host took the device because this one was silent too long.
        """
        with self._turn:
            if not self._write():
                raise DeviceError(
                    f"device {self.serial!r} was taken by another bench after {STALE_S:.0f} s of "
                    "silence; resume the campaign when it is free"
                )

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Renew, then leave the processor alone while a block is timed.

        Within the ``with`` block nothing happens for `QUIET_S`, far longer than a block takes.

        Raises:
            DeviceError: As `renew`.
        """
        self.renew()
        self._longest_s = QUIET_S
        try:
            yield
        finally:
            self._longest_s = RENEW_S

    def _write(self) -> bool:
        """Set the row's time; whether the row is still this holder's."""
        mine = (locks.c.serial == self.serial) & (locks.c.token == self.token)
        with self.store.writing() as connection:
            done = connection.execute(
                update(locks).where(mine).values(heartbeat_s=_now(connection))
            )
        self._renewed = time.monotonic()
        return done.rowcount == 1

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Renew in the background within a ``with`` block."""
        keeper = threading.Thread(target=self._keep, name="device-lock", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._ended.set()
            keeper.join(_PATIENCE_S)

    def _keep(self) -> None:
        wait_s = self._longest_s
        while not self._ended.wait(wait_s):
            try:
                with self._turn:
                    if self._left_s() <= 0 and not self._write():
                        return  # the next `renew` says so
                wait_s = min(max(self._left_s(), 0.0), RENEW_S)
            except PfdError:
                wait_s = _RETRY_S  # what the bench stores meets the same, and says so

    def _left_s(self) -> float:
        return self._longest_s - (time.monotonic() - self._renewed)


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
    with _file_lock(folder, serial):
        lock = DeviceLock(store, serial)
        _take_row(lock, host or socket.gethostname())
        try:
            with lock._kept():
                yield lock
        finally:
            # When the server is gone, the row grows stale by itself.
            with contextlib.suppress(PfdError), store.writing() as connection:
                connection.execute(delete(locks).where(locks.c.token == lock.token))


@contextlib.contextmanager
def _file_lock(folder: Path, serial: str) -> Iterator[None]:
    readable = re.sub(r"[^A-Za-z0-9.-]", "_", serial)[:40]
    path = folder / f"{readable}-{sha256(serial.encode()).hexdigest()[:12]}.lock"
    descriptor = _open(path)
    try:
        try:
            lock_file(descriptor, wait=False)
        except BlockingIOError as error:
            os.lseek(descriptor, 0, os.SEEK_SET)
            holder = os.read(descriptor, 80).decode(errors="replace").strip() or "a process"
            raise DeviceError(
                f"device {serial!r} is in use by another bench on this host ({holder}); "
                "wait for it or stop it"
            ) from error
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"pid {os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)  # releases the lock; the file stays, a new one would be another lock


def _open(path: Path) -> int:
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o1777)  # other users of this host lock the same devices
        return open_shared(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot lock {path}: {reason}; remove it or ask its owner") from error


def _take_row(lock: DeviceLock, host: str) -> None:
    holder = None
    while holder is None:
        with lock.store.writing() as connection:
            holder = _claim(connection, lock, host)
    if holder["token"] != lock.token:
        raise DeviceError(
            f"device {lock.serial!r} is in use by pid {holder['pid']} on {holder['host']} since "
            f"{holder['since_utc']}; wait for it, it is free {STALE_S:.0f} s after its last sign"
        )


def _claim(connection: Connection, lock: DeviceLock, host: str) -> Mapping[Any, Any] | None:
    """Take the row if it is free and return whose it is; None when it went at this moment."""
    now = _now(connection)
    # The file lock is ours, so a row of this host was left by a process that is gone.
    stale = or_(locks.c.host == host, locks.c.heartbeat_s < now - STALE_S)
    row = {
        "serial": lock.serial,
        "token": lock.token,
        "host": host,
        "pid": os.getpid(),
        "since_utc": datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(
            timespec="seconds"
        ),
        "heartbeat_s": now,
    }
    connection.execute(delete(locks).where(locks.c.serial == lock.serial, stale))
    insert_unless_known(connection, locks, [row])
    query = select(locks).where(locks.c.serial == lock.serial)
    return connection.execute(query).mappings().one_or_none()


def _now(connection: Connection) -> float:
    """Return the seconds since 1970 by the one clock that all users of the store share.

    That is the server's: the hosts' own clocks differ, by years where a board has no battery. All
    users of a SQLite file are on one host (its write-ahead log is memory that they share), so
    there this host's clock is the one.
    """
    if connection.dialect.name == "postgresql":
        now = select(func.extract("epoch", func.clock_timestamp()))
        return float(connection.execute(now).scalar_one())
    return time.time()
