"""Who may sit on the adb server's port, and what a serial with spaces goes through."""

import contextlib
import socket
import threading
import time

import pytest

from android_bench.devices.phone.choice import list_devices, open_transport
from android_bench.errors import (
    ConnectionLostError,
    DeviceTimeoutError,
    NoDeviceError,
    ProtocolError,
)
from android_bench.transports import adb_server
from pfd_models.errors import DeviceError, InputError

TLS = "adb-R5CT123 (2)._adb-tls-connect._tcp"


class Port:
    """A program on a port: each connection gets the next answer, after its request came."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.heard = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            for answer in self.answers:
                connection, _ = self.listener.accept()
                with connection:
                    self.heard.append(connection.recv(1 << 16))
                    with contextlib.suppress(OSError):
                        answer(self, connection)

    def close(self):
        self.listener.close()
        self.thread.join(5)


def say(data):
    return lambda port, connection: connection.sendall(data)


@pytest.fixture
def on_port():
    opened = []

    def make(*answers):
        opened.append(Port(*answers))
        return opened[-1]

    yield make
    for port in opened:
        port.close()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProtocolError, ["none", "HTTP", "ADB_SERVER_SOCKET"]),
        (b"OKAYxyz!", ProtocolError, ["none", "xyz!"]),
        (b"OKAY-001", ProtocolError, ["-001"]),
        (b"OKAY 1f ", ProtocolError, [" 1f "]),
        (b"FAIL0x1f", ProtocolError, ["0x1f"]),
        (b"\0\0\0\0\0\0\0\0", ProtocolError, ["none"]),
        (b"OKAY0010short", ConnectionLostError, ["ended the connection"]),
        (b"OK", ConnectionLostError, ["ended the connection"]),
        (b"", ConnectionLostError, ["ended the connection"]),
        (b"FAIL0009no\nluck\x1b!", DeviceError, ["refuses", "no luck"]),
    ],
)
def test_another_program_on_the_port_is_told_in_one_line(on_port, one_line, answer, kind, words):
    port = on_port(say(answer))
    with pytest.raises(kind) as error:
        list_devices(port.address)
    one_line(error, 3, *words)
    assert "\x1b" not in str(error.value)
    assert port.heard == [b"000ehost:devices-l"]


def test_a_program_that_says_nothing_is_not_waited_for_longer_than_allowed(on_port, one_line):
    done = threading.Event()
    port = on_port(lambda port, connection: done.wait(20))
    begin = time.monotonic()
    with pytest.raises(DeviceTimeoutError) as error:
        adb_server.ask(f"tcp:{port.address}", "host:version", timeout_s=0.5)
    assert time.monotonic() - begin < 5
    done.set()
    one_line(error, 3, port.address, "0.5 s")


def test_a_program_that_never_stops_is_not_listened_to(on_port):
    def flood(port, connection):
        connection.sendall(b"OKAY0004abcd")
        while True:
            connection.sendall(bytes(1 << 20))

    port = on_port(flood)
    assert adb_server.ask(f"tcp:{port.address}", "host:version") == "abcd"


def test_a_serial_with_spaces_is_passed_on_as_it_is(on_port):
    listing = f"{TLS} device product:p model:M device:d transport_id:7\n".encode()
    frames = b"\x03\x01\x00\x00\x00\x00"

    def phone(port, connection):
        connection.sendall(b"OKAY")
        port.heard.append(connection.recv(1 << 16))
        connection.sendall(b"OKAY" + frames)
        connection.recv(1 << 16)

    port = on_port(say(b"OKAY%04x" % len(listing) + listing), phone)
    transport = open_transport(TLS, server=port.address)
    assert transport.serial == TLS
    request = f"host:transport:{TLS}".encode()
    assert port.heard[1] == b"%04x" % len(request) + request


def test_a_serial_with_spaces_can_be_copied_from_every_message(on_port, one_line):
    listing = f"{TLS} device transport_id:7\nR58M device transport_id:8\n".encode()
    port = on_port(*[say(b"OKAY%04x" % len(listing) + listing)] * 2)
    with pytest.raises(NoDeviceError) as error:
        open_transport(server=port.address)
    one_line(error, 3, f"'{TLS}' device", "R58M device")
    with pytest.raises(NoDeviceError) as error:
        open_transport("adb-R5CT123", server=port.address)
    one_line(error, 3, "'adb-R5CT123'", f"'{TLS}' device")
    assert f"adb -s '{TLS}' reconnect" in str(adb_server.refusal(TLS, "device offline"))
    assert f"adb connect '{TLS}'" in str(adb_server.refusal(TLS, "device not found"))


@pytest.mark.parametrize("state", ["offline", ""])
def test_a_phone_found_by_its_name_on_the_network_is_connected_again(on_port, state):
    listing = f"{TLS} {state} transport_id:7\n".encode() if state else b""
    again = [f"host:disconnect:{TLS}"] if state else []
    wanted = [*again, f"host:connect:{TLS}"]
    port = on_port(say(b"OKAY%04x" % len(listing) + listing), *[say(b"OKAY0002ok") for _ in wanted])
    link = adb_server.AdbServerLink(TLS, f"tcp:{port.address}")
    link.recover(adb_server.Deadline(5, "bringing it back"))
    requests = [heard[4:].decode() for heard in port.heard[1:]]
    assert requests == wanted


def test_a_request_longer_than_the_protocol_allows_is_refused_here(on_port, one_line):
    port = on_port(say(b"OKAY"))
    with pytest.raises(DeviceError) as error:
        adb_server.ask(f"tcp:{port.address}", "host:" + "x" * 70_000)
    one_line(error, 3, "70005 bytes", "65535")


@pytest.mark.parametrize("serial", ["host:0", "host:65536", "host:99999", "noport", ":5555"])
def test_an_address_that_cannot_be_one_is_the_users_mistake(serial):
    from android_bench.transports import adb_shell

    with pytest.raises(InputError, match="HOST:PORT"):
        adb_shell.over_tcp(serial)


def test_a_name_that_cannot_be_a_hosts_is_a_host_that_does_not_answer(one_line):
    from android_bench.transports import adb_shell

    with pytest.raises(ConnectionLostError) as error:
        adb_shell.over_tcp("a..b:5555").run("true", timeout_s=5)
    one_line(error, 3, "a..b")
