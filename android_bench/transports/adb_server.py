"""A phone that the platform adb's server owns, here or on another computer.

The server knows phones on USB, by network and, with TLS pairing, by wireless debugging; it
shares them with Android Studio and every other client. Its own protocol is spoken here instead
of running the ``adb`` program for every command: a lost device and a command that exited with 1
look the same in that program's exit status, and it shows no progress unless on a terminal.

Requests are a length of four hexadecimal digits and a sentence; answers begin with ``OKAY`` or
``FAIL``. After ``host:transport:SERIAL`` the connection is a stream to that phone's service.

Source: ``packages/modules/adb/OVERVIEW.TXT`` and ``SERVICES.TXT`` in AOSP; the forms of
``ADB_SERVER_SOCKET`` are those of adb's own help.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess

from android_bench.cancellation import NEVER, Cancellation
from android_bench.errors import ConnectionLostError, ProtocolError, one_line
from android_bench.transports import sockets
from android_bench.transports.adb import AdbTransport
from android_bench.transports.adb_shell import unauthorized
from android_bench.transports.device_listing import ListedDevice, parse_listing
from android_bench.transports.streams import Deadline
from pfd_models.errors import DeviceError, InputError

__all__ = [
    "AdbServerLink",
    "ask",
    "list_devices",
    "over_server",
    "read_answer",
    "refusal",
    "server_address",
    "start_server",
]

_DEFAULT_PORT = 5037
_ASK_TIMEOUT_S = 10.0
_START_TIMEOUT_S = 30.0
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
_MAX_REQUEST_BYTES = 0xFFFF  # what four hexadecimal digits can say
_READ_BYTES = 1 << 20


def server_address(named: str | None = None) -> str:
    """Return where the adb server is, as ``tcp:HOST:PORT`` or ``localfilesystem:PATH``.

    Args:
        named: What the user gave; ``HOST``, ``HOST:PORT`` and adb's own forms are understood.
            Without it the environment decides as for the platform adb.

    Raises:
        InputError: The address is none of these.
    """
    address = named or os.environ.get("ADB_SERVER_SOCKET")
    if address is None:
        host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS", "127.0.0.1")
        address = f"{host}:{os.environ.get('ANDROID_ADB_SERVER_PORT', _DEFAULT_PORT)}"
    if address.startswith("localfilesystem:"):
        return address
    host, _, port = address.removeprefix("tcp:").rpartition(":")
    if not host and not port.isdigit():
        host, port = port, str(_DEFAULT_PORT)
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(
            f"the adb server's address {address!r} is not understood: give HOST, HOST:PORT, "
            f"tcp:HOST:PORT or localfilesystem:PATH"
        )
    return f"tcp:{host or '127.0.0.1'}:{port}"


def start_server(cancellation: Cancellation = NEVER) -> bool:
    """Start the adb server when an adb program is installed; return whether there is one."""
    program = shutil.which("adb")
    if program is None:
        return False
    deadline = Deadline(_START_TIMEOUT_S, "starting the adb server", cancellation)
    with (
        contextlib.suppress(OSError, DeviceError),
        subprocess.Popen(
            [program, "start-server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(deadline.slice_s())
        except BaseException:
            process.kill()
            raise
    return True


def list_devices(address: str, cancellation: Cancellation = NEVER) -> list[ListedDevice]:
    """Return what the adb server sees.

    Raises:
        ConnectionLostError: No server answers there.
        ProtocolError: What answers there is no adb server.
    """
    return parse_listing(ask(address, "host:devices-l", cancellation=cancellation))


def ask(
    address: str,
    request: str,
    *,
    timeout_s: float = _ASK_TIMEOUT_S,
    cancellation: Cancellation = NEVER,
) -> str:
    """Ask the server itself one question and return its answer; raises as `list_devices`."""
    deadline = Deadline(timeout_s, f"an answer of the adb server at {address}", cancellation)
    with _connect(address, deadline) as connection:
        try:
            return read_answer(connection, request, deadline)
        except _RefusedError as error:
            raise DeviceError(f"the adb server at {address} refuses {request}: {error}") from error


def read_answer(connection: socket.socket, request: str, deadline: Deadline) -> str:
    """Send a request and return the answer to it.

    Raises:
        DeviceError: It is refused; the reason is the server's.
        ProtocolError: What answers is no adb server.
        ConnectionLostError: The connection ended before the answer was whole.
    """
    _request(connection, request, deadline)
    return _sized_text(connection, deadline)


def _connect(address: str, deadline: Deadline) -> socket.socket:
    try:
        if address.startswith("localfilesystem:"):
            return sockets.connect_unix(address.removeprefix("localfilesystem:"), deadline)
        host, _, port = address.removeprefix("tcp:").rpartition(":")
        return sockets.connect_tcp(host.strip("[]"), int(port), deadline)
    except OSError as error:
        raise ConnectionLostError(
            f"no adb server answers at {address} ({(error.strerror or str(error)).lower()}): "
            f"start it there with `adb start-server`"
        ) from error


class _RefusedError(DeviceError):
    """The server said FAIL; the text is its reason."""


def _request(connection: socket.socket, request: str, deadline: Deadline) -> None:
    """Send a request and return when it is granted.

    Raises:
        _RefusedError: It is refused; the reason is the server's.
    """
    data = request.encode()
    if len(data) > _MAX_REQUEST_BYTES:
        raise DeviceError(
            f"a request of {len(data)} bytes is too long for the adb server, which takes "
            f"{_MAX_REQUEST_BYTES}: give a shorter command"
        )
    try:
        sockets.send(connection, f"{len(data):04x}".encode() + data, deadline)
    except OSError as error:
        raise _server_gone() from error
    status = _exactly(connection, 4, deadline)
    if status == b"FAIL":
        raise _RefusedError(one_line(_sized_text(connection, deadline)) or "no reason given")
    if status != b"OKAY":
        raise _no_server(status)


def _sized_text(connection: socket.socket, deadline: Deadline) -> str:
    """Return a text that its length precedes; four digits keep it below 64 KiB."""
    digits = _exactly(connection, 4, deadline)
    if not _LENGTH.fullmatch(digits):
        raise _no_server(digits)
    text = _exactly(connection, int(digits, 16), deadline)
    return text.decode(errors="backslashreplace")


def _exactly(connection: socket.socket, size: int, deadline: Deadline) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            more = sockets.receive(connection, size - len(data), deadline)
        except OSError as error:
            raise _server_gone() from error
        if not more:
            raise _server_gone()
        data += more
    return bytes(data)


def _server_gone() -> ConnectionLostError:
    return ConnectionLostError(
        "the adb server ended the connection: see whether it still runs with `adb devices`, "
        "then try again"
    )


def _no_server(answer: bytes) -> ProtocolError:
    return ProtocolError(
        f"what answers in place of the adb server is none, it says {answer!r}: end the program on "
        f"that port, or name another server, as with ADB_SERVER_SOCKET=tcp:HOST:PORT"
    )


class AdbServerLink:
    """One phone of an adb server; every stream is a connection of its own."""

    kind = "adb-server"

    def __init__(self, serial: str, address: str) -> None:
        self.serial = serial
        self._address = address

    def open(self, service: str, deadline: Deadline) -> _Stream:
        """Open a stream; see ``Link``."""
        connection = _connect(self._address, deadline)
        try:
            _request(connection, f"host:transport:{self.serial}", deadline)
            _request(connection, service, deadline)
        except _RefusedError as error:
            connection.close()
            raise refusal(self.serial, str(error)) from error
        except BaseException:
            connection.close()
            raise
        return _Stream(connection)

    def recover(self, deadline: Deadline) -> None:
        """Have the server connect again to a phone that it reaches by network."""
        if ":" not in self.serial and "._adb" not in self.serial:  # an address, or a name of mDNS
            return
        with contextlib.suppress(DeviceError):
            found = {
                one.serial: one.state for one in parse_listing(self._ask("devices-l", deadline))
            }
            if found.get(self.serial) not in (None, "device"):
                self._ask(f"disconnect:{self.serial}", deadline)
            if found.get(self.serial) != "device":
                self._ask(f"connect:{self.serial}", deadline)

    def _ask(self, request: str, deadline: Deadline) -> str:
        limit_s = min(deadline.left_s(), _ASK_TIMEOUT_S)
        return ask(
            self._address,
            f"host:{request}",
            timeout_s=limit_s,
            cancellation=deadline.cancellation,
        )

    def close(self) -> None:
        """Nothing to do: the server goes on owning the phone."""


class _Stream:
    """A connection to the server that has become a stream to a service of the phone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._broken = False

    def write(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Send all of the data; when the phone is gone, the next read says so."""
        if self._broken:
            return
        try:
            sockets.send(self._connection, data, deadline)
        except OSError:
            self._broken = True

    def read(self, deadline: Deadline) -> bytes:
        """Return the next bytes, empty at the end."""
        try:
            return sockets.receive(self._connection, _READ_BYTES, deadline)
        except OSError:
            return b""

    def pending(self) -> bool:
        """Return whether something can be read, the end included."""
        return self._broken or sockets.has_data(self._connection)

    def close(self) -> None:
        """Close the connection; the server tells the phone."""
        self._connection.close()


def refusal(serial: str, reason: str) -> DeviceError:
    """Return what the server's refusal means for the user."""
    lower, quoted = reason.lower(), shlex.quote(serial)
    if "unauthorized" in lower or "authorizing" in lower:
        return unauthorized(serial)
    if "offline" in lower:
        return ConnectionLostError(
            f"{serial} is offline: unplug it and plug it in again, or `adb -s {quoted} reconnect`"
        )
    if "not found" in lower:
        return ConnectionLostError(
            f"{serial} is not connected to the adb server: plug it in, or `adb connect {quoted}`"
        )
    if "no permissions" in lower or "insufficient permissions" in lower:
        return ConnectionLostError(
            f"this user may not open {serial} on USB: install the system's udev rules for "
            f"Android devices, or restart the adb server as a user who may"
        )
    return ConnectionLostError(
        f"{serial} refuses ({one_line(reason)}): reconnect it, or look at `adb devices`"
    )


def over_server(serial: str, address: str | None = None) -> AdbTransport:
    """Return a transport to a phone that an adb server owns."""
    return AdbTransport(AdbServerLink(serial, server_address(address)))
