"""Which device, reached how, when the user says little or nothing.

The adb server is asked first, since a phone on USB has one owner and that is the server where
one runs; what it does not own is reached directly.
"""

from __future__ import annotations

import atexit
import contextlib
import re
import shlex
import socket

from android_bench.cancellation import NEVER, Cancellation
from android_bench.errors import ConnectionLostError, NoDeviceError, VirtualPhoneError
from android_bench.transports import Transport, adb_server, adb_shell
from android_bench.transports.device_listing import ListedDevice
from android_bench.transports.local import LocalTransport
from android_bench.transports.streams import Deadline
from android_bench.transports.usb import find_usb_phones
from pfd_models.operating_system import require_linux

__all__ = ["list_devices", "open_transport"]

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%\w]+\]|[^:\s]+):[0-9]{1,5}")
# Also a phone that has to be asked for a tap first answers within this.
_ANSWER_TIMEOUT_S = 45.0


def list_devices(
    server: str | None = None, *, cancellation: Cancellation = NEVER
) -> list[ListedDevice]:
    """Return every phone that can be seen, the unusable ones with their state.

    Args:
        server: An adb server's address when it is not this computer's own.
        cancellation: Ends the look early.

    Raises:
        ConnectionLostError: No server answers at the address that was named.
        ProtocolError: What answers there is no adb server.
    """
    address = adb_server.server_address(server)
    try:
        found = adb_server.list_devices(address, cancellation)
    except ConnectionLostError:
        if server is not None:
            raise
        found = []
        if adb_server.start_server(cancellation):
            with contextlib.suppress(ConnectionLostError):
                found = adb_server.list_devices(address, cancellation)
    known = {one.serial for one in found}
    with contextlib.suppress(NoDeviceError):
        for phone in find_usb_phones():
            if phone.serial not in known:
                state = "device" if phone.serial else "no permissions"
                found.append(
                    ListedDevice(serial=phone.serial, state=state, description="", via="usb")
                )
    return found


def open_transport(
    serial: str | None = None, *, server: str | None = None, cancellation: Cancellation = NEVER
) -> Transport:
    """Return a transport to the device, which answers.

    Args:
        serial: As ``adb devices`` shows it; ``HOST:PORT``; ``host`` for this computer;
            ``virtual`` for the virtual phone. Without one, the only phone there is.
        server: An adb server's address when it is not this computer's own.
        cancellation: Ends every wait of the transport early, those in here included.

    Raises:
        NoDeviceError: No phone, several and none named, or no such phone; with the list.
        UnauthorizedError: The phone waits for a tap.
        ConnectionLostError: It is offline or cannot be reached.
        ProtocolError: Another program answers in its place, or in that of the adb server.
    """
    opened = _open(serial, server, cancellation)
    transport = opened.cancelled_by(cancellation)
    try:
        # Through adb a connection opens without anybody behind it.
        transport.run("true", timeout_s=_ANSWER_TIMEOUT_S)
    except BaseException:
        transport.close()
        raise
    return transport


def _open(serial: str | None, server: str | None, cancellation: Cancellation) -> Transport:
    if serial in ("host", "local"):
        require_linux("measuring on this computer")
        return LocalTransport()
    if serial == "virtual":
        return _virtual()
    found = list_devices(server, cancellation=cancellation)
    if serial is None:
        chosen = _the_only(found)
    else:
        matching = [one for one in found if one.serial == serial]
        if not matching and server is None and _ADDRESS.fullmatch(serial):
            return adb_shell.over_tcp(serial)
        if not matching:
            raise NoDeviceError(
                f"no device {serial!r} is connected ({_listed(found)}): check the cable, or give "
                f"HOST:PORT for one on the network"
            )
        chosen = matching[0]
    if chosen.state != "device":
        raise adb_server.refusal(chosen.serial or "the phone", chosen.state)
    if chosen.via == "usb":
        return adb_shell.over_usb(chosen.serial)
    return adb_server.over_server(chosen.serial, server)


def _the_only(found: list[ListedDevice]) -> ListedDevice:
    usable = [one for one in found if one.state == "device"]
    if len(usable) == 1:
        return usable[0]
    if len(usable) > 1:
        raise NoDeviceError(
            f"{len(usable)} devices are connected ({_listed(found)}): choose one with --serial"
        )
    if len(found) == 1:
        return found[0]  # what is wrong with it is the answer
    if found:
        raise NoDeviceError(f"no connected device is usable ({_listed(found)}): see each one's")
    raise NoDeviceError(
        "no phone is connected: plug one in with USB debugging on (Settings, Developer options), "
        "give HOST:PORT for one on the network, or use the device `virtual`"
    )


def _listed(found: list[ListedDevice]) -> str:
    # A serial may hold spaces: quoted as a shell wants it, it can be copied as it stands.
    return ", ".join(f"{shlex.quote(one.serial)} {one.state}" for one in found) or "none is"


def _virtual() -> Transport:
    """Return the virtual phone that is up, or start one that ends with this process."""
    from android_bench.virtual_phone import phone

    running = phone.find(phone.DEFAULT_NAME)
    if running is None:
        running = phone.start()
        atexit.register(running.stop)

    def dial(deadline: Deadline) -> socket.socket:
        try:
            return running.dial()
        except VirtualPhoneError as error:
            raise ConnectionRefusedError(str(error)) from error

    return adb_shell.over_socket("virtual", dial)
