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
import select
import shutil
import socket
import subprocess
from dataclasses import dataclass

from android_bench.errors import (
    ConnectionLostError,
)
from android_bench.transports.adb import AdbTransport
from android_bench.transports.streams import Deadline
from pfd_models.errors import DeviceError, InputError

__all__ = [
    "AdbServerLink",
    "Sighting",
    "over_server",
    "server_address",
    "sightings",
    "start_server",
]

_DEFAULT_PORT = 5037
_ASK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A device as a list shows it.

    Attributes:
        serial: To name it by.
        state: ``device`` when usable; else as the adb server says, as ``unauthorized``.
        description: Model and port where known.
        via: ``adb-server`` or ``usb``.
    """

    serial: str
    state: str
    description: str
    via: str


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


def start_server() -> bool:
    """Start the adb server when an adb program is installed; return whether there is one."""
    program = shutil.which("adb")
    if program is None:
        return False
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run([program, "start-server"], capture_output=True, timeout=30)
    return True


def sightings(address: str) -> list[Sighting]:
    """Return what the adb server sees.

    Raises:
        ConnectionLostError: No server answers there.
    """
    found = []
    for line in ask(address, "host:devices-l").splitlines():
        serial, _, rest = line.partition("\t") if "\t" in line else line.partition(" ")
        state, _, description = rest.strip().partition(" ")
        if "no permissions" in rest:
            state, description = "no permissions", rest.strip()
        found.append(
            Sighting(serial=serial, state=state, description=description.strip(), via="adb-server")
        )
    return found


def ask(address: str, request: str, *, timeout_s: float = _ASK_TIMEOUT_S) -> str:
    """Ask the server itself one question and return its answer."""
    deadline = Deadline(timeout_s, f"the adb server at {address}")
    with _connected(address, deadline) as connection:
        _request(connection, request, deadline)
        size = int(_exactly(connection, 4, deadline), 16)
        return _exactly(connection, size, deadline).decode(errors="backslashreplace")


def _connected(address: str, deadline: Deadline) -> socket.socket:
    try:
        if address.startswith("localfilesystem:"):
            return _connected_by_path(address.removeprefix("localfilesystem:"), deadline)
        host, _, port = address.removeprefix("tcp:").rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout=deadline.left_s())
    except OSError as error:
        raise ConnectionLostError(
            f"no adb server answers at {address} ({(error.strerror or str(error)).lower()}): "
            f"start it there with `adb start-server`"
        ) from error


def _connected_by_path(path: str, deadline: Deadline) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(deadline.left_s())
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _request(connection: socket.socket, request: str, deadline: Deadline) -> None:
    """Send a request and return when it is granted.

    Raises:
        DeviceError: It is refused; the reason is the server's.
    """
    data = request.encode()
    try:
        connection.settimeout(deadline.left_s())
        connection.sendall(f"{len(data):04x}".encode() + data)
    except TimeoutError as error:
        raise deadline.passed() from error
    except OSError as error:
        raise _server_gone() from error
    if _exactly(connection, 4, deadline) == b"OKAY":
        return
    size = int(_exactly(connection, 4, deadline), 16)
    raise DeviceError(_exactly(connection, size, deadline).decode(errors="backslashreplace"))


def _exactly(connection: socket.socket, size: int, deadline: Deadline) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            connection.settimeout(deadline.left_s())
            more = connection.recv(size - len(data))
        except TimeoutError as error:
            raise deadline.passed() from error
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


class AdbServerLink:
    """One phone of an adb server; every stream is a connection of its own."""

    kind = "adb-server"

    def __init__(self, serial: str, address: str) -> None:
        self.serial = serial
        self._address = address

    def open(self, service: str, deadline: Deadline) -> _Stream:
        """Open a stream; see ``Link``."""
        connection = _connected(self._address, deadline)
        try:
            _request(connection, f"host:transport:{self.serial}", deadline)
            _request(connection, service, deadline)
        except DeviceError as error:
            connection.close()
            if type(error) is not DeviceError:
                raise
            raise refusal(self.serial, str(error)) from error
        except BaseException:
            connection.close()
            raise
        return _Stream(connection)

    def recover(self, deadline: Deadline) -> None:
        """Have the server connect again to a phone that it reaches by network."""
        if ":" not in self.serial:
            return
        limit_s = min(deadline.left_s(), _ASK_TIMEOUT_S)
        with contextlib.suppress(DeviceError):
            states = {one.serial: one.state for one in sightings(self._address)}
            if states.get(self.serial) not in (None, "device"):
                ask(self._address, f"host:disconnect:{self.serial}", timeout_s=limit_s)
            if states.get(self.serial) != "device":
                ask(self._address, f"host:connect:{self.serial}", timeout_s=limit_s)

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
            self._connection.settimeout(deadline.left_s())
            self._connection.sendall(data)
        except TimeoutError as error:
            raise deadline.passed() from error
        except OSError:
            self._broken = True

    def read(self, deadline: Deadline) -> bytes:
        """Return the next bytes, empty at the end."""
        try:
            self._connection.settimeout(deadline.left_s())
            return self._connection.recv(1 << 20)
        except TimeoutError as error:
            raise deadline.passed() from error
        except OSError:
            return b""

    def pending(self) -> bool:
        """Return whether something can be read, the end included."""
        return self._broken or bool(select.select([self._connection], [], [], 0)[0])

    def close(self) -> None:
        """Close the connection; the server tells the phone."""
        self._connection.close()


def refusal(serial: str, reason: str) -> DeviceError:
    """Return what the server's refusal means for the user."""
    from android_bench.transports.adb_shell import unauthorized

    lower = reason.lower()
    if "unauthorized" in lower or "authorizing" in lower:
        return unauthorized(serial)
    if "offline" in lower:
        return ConnectionLostError(
            f"{serial} is offline: unplug it and plug it in again, or `adb reconnect {serial}`"
        )
    if "not found" in lower:
        return ConnectionLostError(
            f"{serial} is not connected to the adb server: plug it in, or `adb connect {serial}`"
        )
    if "no permissions" in lower or "insufficient permissions" in lower:
        return ConnectionLostError(
            f"this user may not open {serial} on USB: install the system's udev rules for "
            f"Android devices, or restart the adb server as a user who may"
        )
    return ConnectionLostError(
        f"{serial} refuses ({reason}): reconnect it, or look at `adb devices`"
    )


def over_server(serial: str, address: str | None = None) -> AdbTransport:
    """Return a transport to a phone that an adb server owns."""
    return AdbTransport(AdbServerLink(serial, server_address(address)))
