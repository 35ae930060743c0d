"""A phone on USB or at HOST:PORT, directly through the adb-shell library: no adb program.

The library's connection and packets are used; its commands are not, for reasons that were seen:
it mixes standard error with output and has no exit codes, mistakes a short ``send`` for a whole
one, spins at full load until its time limit when the connection has ended, waits for the limit
when the device refuses a service, reports a chunk's size as the progress, and answers a full
disk with a KeyError. So sockets and streams are ours here, and ``shell_v2.py`` and
``file_sync.py`` speak on them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from adb_shell import constants
from adb_shell.adb_device import AdbDevice
from adb_shell.adb_message import AdbMessage
from adb_shell.exceptions import (
    AdbTimeoutError,
    DeviceAuthError,
    InvalidChecksumError,
    InvalidCommandError,
    InvalidResponseError,
    TcpTimeoutException,
    UsbReadFailedError,
    UsbWriteFailedError,
)
from adb_shell.hidden_helpers import _AdbTransactionInfo
from adb_shell.transport.base_transport import BaseTransport

from android_bench.errors import ConnectionLostError, NoDeviceError, UnauthorizedError
from android_bench.transports import keys
from android_bench.transports.adb import AdbTransport
from android_bench.transports.socket_transport import SocketTransport
from android_bench.transports.streams import Deadline

__all__ = ["AdbShellLink", "over_socket", "over_tcp", "over_usb"]

# How long somebody may take to look at the phone and tap "Allow".
TAP_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 10.0
_TIMEOUTS = (AdbTimeoutError, TcpTimeoutException, TimeoutError)
_BROKEN = (
    OSError,
    InvalidCommandError,
    InvalidChecksumError,
    InvalidResponseError,
    UsbReadFailedError,
    UsbWriteFailedError,
)


class AdbShellLink:
    """A connection of our own to one phone's adbd."""

    kind = "adb-shell"

    def __init__(
        self,
        serial: str,
        transport: BaseTransport,
        *,
        signers: Callable[[], list[Any]] = keys.signers,
        tap_timeout_s: float = TAP_TIMEOUT_S,
    ) -> None:
        self.serial = serial
        self._transport = transport
        self._signers = signers
        self._tap_timeout_s = tap_timeout_s
        self._device: AdbDevice | None = None

    def open(self, service: str, deadline: Deadline) -> _Stream:
        """Open a stream; see ``Link``."""
        device = self._device or self._connected(deadline)
        with self.closed_on_failure(deadline, "opening a service"):
            return _Stream(self, device, service, deadline)

    def _connected(self, deadline: Deadline) -> AdbDevice:
        device = AdbDevice(self._transport, banner="pfd-mobile")
        asked: list[bool] = []
        timeout_s = min(deadline.left_s(), _CONNECT_TIMEOUT_S)
        try:
            device.connect(
                rsa_keys=self._signers(),
                transport_timeout_s=timeout_s,
                read_timeout_s=timeout_s,
                auth_timeout_s=min(deadline.left_s(), self._tap_timeout_s),
                auth_callback=lambda _: asked.append(True),
            )
        except (*_TIMEOUTS, *_BROKEN, DeviceAuthError) as error:
            device.close()
            if asked or isinstance(error, DeviceAuthError):
                raise unauthorized(self.serial) from error
            raise ConnectionLostError(
                f"cannot connect to {self.serial}: {_reason(error)}; see that the phone is on, "
                f"USB debugging enabled, and `adb tcpip 5555` done for a connection by network"
            ) from error
        self._device = device
        return device

    @contextlib.contextmanager
    def closed_on_failure(self, deadline: Deadline, doing: str) -> Iterator[None]:
        """After a failure the packets in flight belong to nobody, so the next call connects anew.

        Raises:
            DeviceTimeoutError: In place of the library's time-outs.
            ConnectionLostError: In place of whatever says that the connection broke.
        """
        try:
            yield
        except _TIMEOUTS as error:
            self.close()
            raise deadline.passed() from error
        except _BROKEN as error:
            self.close()
            raise ConnectionLostError(
                f"the connection to {self.serial} ended while {doing} ({_reason(error)}): "
                f"plug it in again or bring the network back, then try again"
            ) from error

    def recover(self, deadline: Deadline) -> None:
        """Nothing to do: the next call connects anew."""

    def close(self) -> None:
        """End the connection."""
        if self._device is not None:
            device, self._device = self._device, None
            with contextlib.suppress(*_BROKEN):
                device.close()


class _Stream:
    """One conversation; a packet of ours at a time waits for its acknowledgement."""

    def __init__(
        self, link: AdbShellLink, device: AdbDevice, service: str, deadline: Deadline
    ) -> None:
        self._link = link
        self._device = device
        self._closed = False
        self._received = bytearray()
        device._local_id = device._local_id % (2**32 - 1) + 1
        self._info = _AdbTransactionInfo(device._local_id, None, None, 0.0, None)
        self._send(constants.OPEN, service.encode() + b"\0", deadline)
        # A refused service is answered with CLSE, which the library's own open() waits past.
        command, remote, _ = self._next([constants.OKAY, constants.CLSE], deadline)
        if command == constants.CLSE:
            self._closed = True
            raise ConnectionLostError(
                f"{link.serial} refuses the service {service.split(':')[0]!r}: "
                f"Android 7 or newer is needed"
            )
        self._info.remote_id = remote

    def _send(self, command: bytes, data: bytes, deadline: Deadline) -> None:
        self._info.transport_timeout_s = deadline.left_s()
        message = AdbMessage(command, self._info.local_id, self._info.remote_id or 0, data)
        self._device._io_manager.send(message, self._info)

    def _next(self, expected: list[bytes], deadline: Deadline) -> tuple[bytes, int, bytes]:
        self._info.transport_timeout_s = self._info.read_timeout_s = deadline.left_s()
        command, remote, _, data = self._device._io_manager.read(
            expected, self._info, allow_zeros=True
        )
        return command, remote, data

    def _receive(self, deadline: Deadline) -> bytes:
        """Take in one packet and return which it was."""
        expected = [constants.OKAY, constants.WRTE, constants.CLSE]
        command, _, data = self._next(expected, deadline)
        if command == constants.WRTE:
            self._received += data
            self._send(constants.OKAY, b"", deadline)
        elif command == constants.CLSE:
            self._closed = True
        return command

    def write(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Send all of the data, in packets as large as the device takes."""
        view = memoryview(data)
        with self._link.closed_on_failure(deadline, "sending"):
            while view and not self._closed:
                packet, view = view[: self._device._maxdata], view[self._device._maxdata :]
                self._send(constants.WRTE, bytes(packet), deadline)
                while not self._closed and self._receive(deadline) != constants.OKAY:
                    pass

    def read(self, deadline: Deadline) -> bytes:
        """Return the next bytes, empty when the service has closed the stream."""
        with self._link.closed_on_failure(deadline, "receiving"):
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
        if self._link._device is not self._device:
            return  # the connection is gone, and the stream with it
        deadline = Deadline(2.0, "closing a stream")
        try:
            with self._link.closed_on_failure(deadline, "closing"):
                self._send(constants.CLSE, b"", deadline)
        except ConnectionLostError:
            pass


def unauthorized(serial: str) -> UnauthorizedError:
    """Return the error that says what to tap."""
    return UnauthorizedError(
        f"{serial} does not allow this computer yet: unlock the phone, tap "
        f"'Always allow from this computer' and 'Allow' in the question about USB debugging, "
        f"then try again"
    )


def over_tcp(serial: str) -> AdbTransport:
    """Return a transport to a phone at ``HOST:PORT``, in the clear; no TLS pairing here."""
    host, _, port = serial.rpartition(":")
    address = (host.strip("[]"), int(port))
    return over_socket(serial, lambda limit_s: socket.create_connection(address, timeout=limit_s))


def over_socket(
    serial: str, dial: Callable[[float], socket.socket], **options: Any
) -> AdbTransport:
    """Return a transport over connections that ``dial(timeout_s)`` makes."""
    return AdbTransport(AdbShellLink(serial, SocketTransport(dial), **options))


def over_usb(serial: str | None = None) -> AdbTransport:
    """Return a transport to a phone on USB, the only one when none is named.

    Raises:
        NoDeviceError: libusb is missing, there is no such phone, or there are several.
    """
    found = usb_devices()
    matching = [one for one in found if serial in (None, one[0])]
    if len(matching) != 1:
        listed = ", ".join(name for name, _ in found) or "none"
        raise NoDeviceError(
            f"{'no phone' if not matching else 'several phones'} on USB"
            f"{f' named {serial}' if serial else ''} (found: {listed}): plug one in with USB "
            f"debugging on, or name one with --serial"
        )
    name, transport = matching[0]
    return AdbTransport(AdbShellLink(name, transport))


def usb_devices() -> list[tuple[str, BaseTransport]]:
    """Return serial and transport of every phone on USB.

    Raises:
        NoDeviceError: libusb is missing.
    """
    try:
        from adb_shell.transport.usb_transport import UsbTransport
    except (ImportError, OSError) as error:
        raise NoDeviceError(
            "reaching a phone on USB without the platform adb needs libusb: "
            "`pip install libusb1` and the system's libusb-1.0, or install adb"
        ) from error
    found = UsbTransport.find_all_adb_devices()
    return [(transport.serial_number, transport) for transport in found]


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
