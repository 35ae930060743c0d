"""The bytes under adb-shell's packets, over a socket.

The library's own socket takes a short ``send`` for a whole one and an ended connection for
silence; here a write sends everything or fails, and the end of the connection is an error.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable

from adb_shell.exceptions import TcpTimeoutException
from adb_shell.transport.base_transport import BaseTransport

__all__ = ["SocketTransport"]

_CONNECT_TIMEOUT_S = 10.0


class SocketTransport(BaseTransport):
    """Bytes over a socket: a write sends everything, and the end of the connection is an error."""

    def __init__(self, dial: Callable[[float], socket.socket]) -> None:
        self._dial = dial
        self._socket: socket.socket | None = None

    def connect(self, transport_timeout_s: float | None) -> None:
        """Connect; part of adb-shell's interface, as are the next three."""
        connection = self._dial(transport_timeout_s or _CONNECT_TIMEOUT_S)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._socket = connection

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Return at least one byte."""
        connection = self._open()
        while True:
            with contextlib.suppress(BlockingIOError):
                data = connection.recv(numbytes)
                if not data:
                    raise ConnectionResetError("the device closed the connection")
                return data
            readable, _, _ = select.select([connection], [], [], transport_timeout_s)
            if not readable:
                raise TcpTimeoutException(f"nothing came for {transport_timeout_s} s")

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        """Send all bytes."""
        connection = self._open()
        end = None if transport_timeout_s is None else time.monotonic() + transport_timeout_s
        view = memoryview(data)
        while view:
            with contextlib.suppress(BlockingIOError):
                view = view[connection.send(view) :]
                continue
            left = None if end is None else max(0.0, end - time.monotonic())
            _, writable, _ = select.select([], [connection], [], left)
            if not writable:
                raise TcpTimeoutException(f"nothing could be sent for {transport_timeout_s} s")
        return len(data)

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("the connection is closed")
        return self._socket
