"""Bytes over sockets, with one deadline for everything and an ear for being cancelled.

A socket's own time limit starts again with every call, and a short ``send`` is easily taken for
a whole one. Here every wait is cut into slices, a write sends everything or fails, and the end of
the connection is an error where more was wanted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from typing import Any

from android_bench.transports.streams import Deadline

__all__ = ["connect_tcp", "connect_unix", "has_data", "receive", "send"]

_RETRY_S = 0.05


def connect_tcp(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address of a host that answers.

    Raises:
        OSError: None does, or the host has none.
        DeviceTimeoutError: Nothing was heard in time.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a name that cannot be one, as "a..b"
        raise OSError(f"{host!r} is no host's name") from error
    failed: OSError | None = None
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            _connect(connection, address, deadline)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            connection.close()
            failed = error
        except BaseException:
            connection.close()
            raise
    raise failed or OSError(f"{host!r} has no address")


def connect_unix(path: str, deadline: Deadline) -> socket.socket:
    """Connect to a socket in the file system; raises as `connect_tcp`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(connection, path, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(connection: socket.socket, address: str | tuple[Any, ...], deadline: Deadline) -> None:
    connection.setblocking(False)
    code = connection.connect_ex(address)
    while code == errno.EAGAIN:  # a local socket whose queue is full: nothing was begun
        deadline.cancellation.sleep(min(_RETRY_S, deadline.left_s()))
        code = connection.connect_ex(address)
    # Windows says "would block", and tells of a refusal among the exceptional conditions.
    if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
        while not any(select.select([], [connection], [connection], deadline.slice_s())):
            pass
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def receive(connection: socket.socket, size: int, deadline: Deadline) -> bytes:
    """Return the next bytes, at most `size`; empty when the other side has closed.

    Raises:
        OSError: The connection broke.
        DeviceTimeoutError: Nothing came in time.
    """
    deadline.left_s()  # also where bytes never stop coming
    while True:
        with contextlib.suppress(BlockingIOError):
            return connection.recv(size)
        while not select.select([connection], [], [], deadline.slice_s())[0]:
            pass


def send(connection: socket.socket, data: bytes | memoryview, deadline: Deadline) -> None:
    """Send all of the data; raises as `receive`."""
    view = memoryview(data)
    while view:
        deadline.left_s()
        with contextlib.suppress(BlockingIOError):
            view = view[connection.send(view) :]
            continue
        while not select.select([], [connection], [], deadline.slice_s())[1]:
            pass


def has_data(connection: socket.socket) -> bool:
    """Return whether something can be read now, the end included."""
    return bool(select.select([connection], [], [], 0)[0])
