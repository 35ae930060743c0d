"""A phone on USB or at HOST:PORT, directly: no adb program.

One connection, one conversation at a time. adb-shell brings the keys and the way to USB
(``adb_library.py``); packets and streams are spoken here, with a limit for everything a device
can claim, and what a conversation says is the business of ``shell_v2.py`` and ``file_sync.py``.

Source: ``packages/modules/adb/protocol.txt`` in AOSP.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from android_bench.errors import (
    ConnectionLostError,
    DeviceTimeoutError,
    NoDeviceError,
    ProtocolError,
    UnauthorizedError,
    one_line,
)
from android_bench.transports import adb_library, keys, sockets
from android_bench.transports.adb import AdbTransport
from android_bench.transports.adb_library import Signer
from android_bench.transports.packets import (
    MAX_DATA_BYTES,
    MIN_DATA_BYTES,
    VERSION,
    Packet,
    Pipe,
    SocketPipe,
    read_packet,
    write_packet,
)
from android_bench.transports.streams import Deadline
from android_bench.transports.usb import UsbPipe, find_usb_phones
from pfd_models.errors import InputError

__all__ = ["AdbShellLink", "over_socket", "over_tcp", "over_usb", "unauthorized"]

# How long somebody may take to look at the phone and tap "Allow".
TAP_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 10.0
_BANNER = b"host::pfd-mobile\0"
_TOKEN, _SIGNATURE, _PUBLIC_KEY = 1, 2, 3
_TOKEN_BYTES = 20
# What a device may say while it is being written to and nobody reads.
_MAX_UNREAD_BYTES = 16 << 20


class AdbShellLink:
    """A connection of our own to one phone's adbd."""

    kind = "adb-shell"

    def __init__(
        self,
        serial: str,
        pipe: Pipe,
        *,
        signers: Callable[[], Sequence[Signer]] = keys.signers,
        tap_timeout_s: float = TAP_TIMEOUT_S,
    ) -> None:
        self.serial = serial
        self.max_data_bytes = MIN_DATA_BYTES
        self._pipe = pipe
        self._signers = signers
        self._tap_timeout_s = tap_timeout_s
        self._is_connected = False
        # Counts streams and, by that, connections: a stream of an earlier one is over.
        self._streams = 0
        self._first_stream = 1

    def open(self, service: str, deadline: Deadline) -> _Stream:
        """Open a stream; see ``Link``."""
        if not self._is_connected:
            self._connect(deadline)
        self._streams = self._streams % (2**32 - 1) + 1
        return _Stream(self, self._streams, service, deadline)

    def has(self, stream: int) -> bool:
        """Return whether a stream belongs to the connection that is open."""
        return self._is_connected and stream >= self._first_stream

    def send(
        self, command: bytes, first: int, second: int, data: bytes, deadline: Deadline
    ) -> None:
        """Send a packet; within `closed_on_failure`."""
        write_packet(self._pipe, command, first, second, data, deadline)

    def receive(self, deadline: Deadline) -> Packet:
        """Return the next packet; within `closed_on_failure`."""
        return read_packet(self._pipe, deadline)

    def _connect(self, deadline: Deadline) -> None:
        try:
            part = deadline.within(_CONNECT_TIMEOUT_S, f"connecting to {self.serial}")
            self._pipe.connect(part)
            self.max_data_bytes = self._introduce(part, deadline)
        except _broken(DeviceTimeoutError) as error:
            self._pipe.close()
            raise ConnectionLostError(
                f"cannot connect to {self.serial}: {_reason(error)}; see that the phone is on, "
                f"USB debugging enabled, and `adb tcpip 5555` done for a connection by network"
            ) from error
        except BaseException:
            self._pipe.close()
            raise
        self._is_connected, self._first_stream = True, self._streams + 1

    def _introduce(self, part: Deadline, deadline: Deadline) -> int:
        """Say who we are, sign what the phone wants signed, and return how much it takes at once.

        Args:
            part: For what needs nobody's tap.
            deadline: For all.

        Raises:
            UnauthorizedError: Nobody tapped.
        """
        self.send(b"CNXN", VERSION, MAX_DATA_BYTES, _BANNER, part)
        reply = self._expect(part)
        signers = list(self._signers()) if reply.command == b"AUTH" else []
        for signer in signers:
            self.send(b"AUTH", _SIGNATURE, 0, signer.Sign(_token(reply)), part)
            reply = self._expect(part)
            if reply.command == b"CNXN":
                break
        if reply.command == b"AUTH":
            if not signers:
                raise UnauthorizedError(f"{self.serial} wants a key and this user has none")
            self.send(b"AUTH", _PUBLIC_KEY, 0, bytes(signers[0].GetPublicKey()) + b"\0", part)
            reply = self._await_tap(deadline.within(self._tap_timeout_s, "a tap"))
        if reply.second < MIN_DATA_BYTES:
            raise ProtocolError(
                f"it takes {reply.second} bytes at once, {MIN_DATA_BYTES} are needed"
            )
        return min(reply.second, MAX_DATA_BYTES)

    def _await_tap(self, deadline: Deadline) -> Packet:
        try:
            while (reply := self._expect(deadline)).command != b"CNXN":
                pass
        except _broken(DeviceTimeoutError) as error:
            raise unauthorized(self.serial) from error
        return reply

    def _expect(self, deadline: Deadline) -> Packet:
        """Return the phone's next word of its introduction; others are left from earlier."""
        while True:
            packet = self.receive(deadline)
            if packet.command == b"STLS":
                raise ProtocolError("it wants a paired, encrypted connection: use the platform adb")
            if packet.command in (b"AUTH", b"CNXN"):
                return packet

    @contextlib.contextmanager
    def closed_on_failure(self, doing: str) -> Iterator[None]:
        """After a failure the packets in flight belong to nobody, so the next call connects anew.

        Raises:
            ConnectionLostError: In place of whatever says that the connection broke.
        """
        try:
            yield
        except _broken() as error:
            self.close()
            raise ConnectionLostError(
                f"the connection to {self.serial} ended while {doing} ({_reason(error)}): "
                f"plug it in again or bring the network back, then try again"
            ) from error
        except BaseException:  # half a packet may have been read or sent
            self.close()
            raise

    def recover(self, deadline: Deadline) -> None:
        """Nothing to do: the next call connects anew."""

    def close(self) -> None:
        """End the connection."""
        self._is_connected = False
        self._pipe.close()


class _Stream:
    """One conversation; a packet of ours at a time waits for its acknowledgement."""

    def __init__(self, link: AdbShellLink, number: int, service: str, deadline: Deadline) -> None:
        self._link = link
        self._number = number
        self._remote = 0
        self._closed = False
        self._received = bytearray()
        with link.closed_on_failure("opening a service"):
            link.send(b"OPEN", number, 0, service.encode() + b"\0", deadline)
            while (packet := self._next(deadline)).command == b"WRTE":
                pass
            self._remote = packet.first
        if packet.command == b"CLSE":
            self._closed = True
            raise ConnectionLostError(
                f"{link.serial} refuses the service {service.split(':')[0]!r}: "
                f"Android 7 or newer is needed"
            )

    def _next(self, deadline: Deadline) -> Packet:
        """Return the next packet of this stream; those of an earlier one are dropped."""
        while True:
            packet = self._link.receive(deadline)
            mine = packet.second in (self._number, 0) and self._remote in (0, packet.first)
            zero = packet.second == self._number and packet.first == 0  # a refusal has no number
            if packet.command in (b"OKAY", b"WRTE", b"CLSE") and (mine or zero):
                return packet

    def _receive(self, deadline: Deadline) -> bytes:
        """Take in one packet and return which it was."""
        packet = self._next(deadline)
        if packet.command == b"WRTE":
            if len(self._received) + len(packet.data) > _MAX_UNREAD_BYTES:
                raise ProtocolError("it goes on talking instead of listening")
            self._received += packet.data
            self._link.send(b"OKAY", self._number, self._remote, b"", deadline)
        elif packet.command == b"CLSE":
            self._closed = True
        return packet.command

    def write(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Send all of the data, in packets as large as the device takes."""
        view, size = memoryview(data), self._link.max_data_bytes
        with self._link.closed_on_failure("sending"):
            while view and not self._closed:
                packet, view = bytes(view[:size]), view[size:]
                self._link.send(b"WRTE", self._number, self._remote, packet, deadline)
                while not self._closed and self._receive(deadline) != b"OKAY":
                    pass

    def read(self, deadline: Deadline) -> bytes:
        """Return the next bytes, empty when the service has closed the stream."""
        with self._link.closed_on_failure("receiving"):
            while not self._received and not self._closed:
                self._receive(deadline)
        data = bytes(self._received)
        self._received.clear()
        return data

    def pending(self) -> bool:
        """Return whether the device has said something beside its acknowledgements."""
        return bool(self._received) or self._closed

    def close(self) -> None:
        """Tell the device that nobody listens any more; it ends the command then."""
        if not self._link.has(self._number):
            return  # the connection is gone, and the stream with it
        deadline = Deadline(2.0, "closing a stream")
        with (
            contextlib.suppress(ConnectionLostError, DeviceTimeoutError),
            self._link.closed_on_failure("closing"),
        ):
            self._link.send(b"CLSE", self._number, self._remote, b"", deadline)


def _token(packet: Packet) -> bytes:
    if packet.first != _TOKEN or len(packet.data) != _TOKEN_BYTES:
        raise ProtocolError("it asks for a signature and gives nothing to sign")
    return packet.data


def _broken(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what says that the connection broke, to be caught together with others."""
    return (OSError, ProtocolError, *adb_library.usb_errors(), *more)


def unauthorized(serial: str) -> UnauthorizedError:
    """Return the error that says what to tap."""
    return UnauthorizedError(
        f"{serial} does not allow this computer yet: unlock the phone, tap "
        f"'Always allow from this computer' and 'Allow' in the question about USB debugging, "
        f"then try again"
    )


def over_tcp(serial: str) -> AdbTransport:
    """Return a transport to a phone at ``HOST:PORT``, in the clear; no TLS pairing here.

    Raises:
        InputError: It is no such address.
    """
    host, _, port = serial.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"{serial!r} is no address: give HOST:PORT, as 192.168.1.5:5555")
    return over_socket(serial, partial(sockets.connect_tcp, host.strip("[]"), int(port)))


def over_socket(
    serial: str, dial: Callable[[Deadline], socket.socket], **options: Any
) -> AdbTransport:
    """Return a transport over connections that ``dial(deadline)`` makes."""
    return AdbTransport(AdbShellLink(serial, SocketPipe(dial), **options))


def over_usb(serial: str | None = None) -> AdbTransport:
    """Return a transport to a phone on USB, the only one when none is named.

    Raises:
        NoDeviceError: libusb is missing, there is no such phone, or there are several.
    """
    found = find_usb_phones()
    matching = [one for one in found if serial in (None, one.serial)]
    if len(matching) != 1:
        listed = ", ".join(one.serial or "unnamed" for one in found) or "none"
        raise NoDeviceError(
            f"{'no phone' if not matching else 'several phones'} on USB"
            f"{f' named {serial}' if serial else ''} (found: {listed}): plug one in with "
            f"USB debugging on, or name one with --serial"
        )
    return AdbTransport(AdbShellLink(matching[0].serial, UsbPipe(matching[0].transport)))


def _reason(error: Exception) -> str:
    if isinstance(error, DeviceTimeoutError):
        return "it does not answer"
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
