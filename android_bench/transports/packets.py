"""ADB's packets: a header of six numbers and up to 1 MiB, over a socket or USB.

A header says command, two numbers, the length and the sum of the bytes that follow, and the
command again with every bit flipped. Everything a header claims is checked before anything is
read for it, so another program's answer, or a damaged one, costs no memory.

Source: ``packages/modules/adb/protocol.txt`` in AOSP.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from android_bench.errors import ProtocolError
from android_bench.transports import sockets
from android_bench.transports.streams import Deadline

__all__ = ["MAX_DATA_BYTES", "MIN_DATA_BYTES", "VERSION", "Packet", "Pipe", "SocketPipe"]
__all__ += ["read_packet", "write_packet"]

VERSION = 0x01000000
MAX_DATA_BYTES = 1 << 20
# What the oldest adbd takes; one that takes less cannot be talked to.
MIN_DATA_BYTES = 4096
_HEADER = struct.Struct("<6I")
_COMMANDS = frozenset({b"AUTH", b"CLSE", b"CNXN", b"OKAY", b"OPEN", b"STLS", b"SYNC", b"WRTE"})
_FLIPPED = 0xFFFFFFFF


class Pipe(Protocol):
    """Bytes to and from one adbd; what it raises says why the connection ended."""

    def connect(self, deadline: Deadline) -> None:
        """Connect, in place of an earlier connection."""

    def read(self, size: int, deadline: Deadline) -> bytes:
        """Return at least one byte and at most `size`."""

    def write(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Send everything."""

    def close(self) -> None:
        """End the connection; never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet.

    Attributes:
        command: Its four letters.
        first: Mostly the sender's number of the stream.
        second: Mostly the receiver's number of the stream.
        data: What follows the header.
    """

    command: bytes
    first: int
    second: int
    data: bytes


def read_packet(pipe: Pipe, deadline: Deadline) -> Packet:
    """Return the next packet.

    Raises:
        ProtocolError: What came is none.
    """
    deadline.left_s()  # also where packets never stop coming
    head = _exactly(pipe, _HEADER.size, deadline)
    command, first, second, size, total, magic = _HEADER.unpack(head)
    name = head[:4]
    if name not in _COMMANDS or magic != command ^ _FLIPPED:
        raise ProtocolError(f"it sends {head[:16]!r}, which is no packet of ADB")
    if size > MAX_DATA_BYTES:
        raise ProtocolError(f"it announces a packet of {size} bytes, of {MAX_DATA_BYTES} allowed")
    data = _exactly(pipe, size, deadline)
    if sum(data) & _FLIPPED != total:
        raise ProtocolError(f"a packet of {size} bytes arrived damaged")
    return Packet(command=name, first=first, second=second, data=data)


def write_packet(
    pipe: Pipe, command: bytes, first: int, second: int, data: bytes, deadline: Deadline
) -> None:
    """Send a packet: two transfers, as adbd on USB wants them."""
    number = int.from_bytes(command, "little")
    total = sum(data) & _FLIPPED
    head = _HEADER.pack(number, first, second, len(data), total, number ^ _FLIPPED)
    pipe.write(head, deadline)
    if data:
        pipe.write(data, deadline)


def _exactly(pipe: Pipe, size: int, deadline: Deadline) -> bytes:
    parts, left = [], size
    while left:
        parts.append(pipe.read(left, deadline))
        left -= len(parts[-1])
    return parts[0] if len(parts) == 1 else b"".join(parts)


class SocketPipe:
    """Bytes over a socket."""

    def __init__(self, dial: Callable[[Deadline], socket.socket]) -> None:
        self._dial = dial
        self._socket: socket.socket | None = None

    def connect(self, deadline: Deadline) -> None:
        """Connect; see `Pipe`."""
        self.close()
        connection = self._dial(deadline)
        connection.setblocking(False)
        self._socket = connection

    def read(self, size: int, deadline: Deadline) -> bytes:
        """Return at least one byte."""
        data = sockets.receive(self._open(), size, deadline)
        if not data:
            raise ConnectionResetError("the device closed the connection")
        return data

    def write(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Send everything."""
        sockets.send(self._open(), data, deadline)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("the connection is closed")
        return self._socket
