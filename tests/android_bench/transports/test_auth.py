"""Who may use a phone. Debian's adbd asks nobody, so a small double of the protocol asks here."""

import base64
import contextlib
import os
import socket
import struct
import subprocess
import threading
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from android_bench.errors import ConnectionLostError, UnauthorizedError
from android_bench.transports import adb_server, adb_shell, keys
from android_bench.transports.adb import AdbTransport
from android_bench.transports.packets import SocketPipe

HEADER = struct.Struct("<6I")
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3
BANNER = b"device::ro.product.name=double;features=shell_v2\0"


def number_of(name):
    return int.from_bytes(name, "little")


def decoded(public_key):
    """Read a key in Android's form: words, n0inv, modulus, rr, exponent, in base 64."""
    raw = base64.b64decode(public_key.split(b" ")[0].rstrip(b"\0"))
    modulus = int.from_bytes(raw[8 : 8 + 256], "little")
    exponent = int.from_bytes(raw[-4:], "little")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


class Double:
    """An adbd that asks for a key, and a person who taps Allow, or not.

    Each shell command is answered with its own text and exit code 3.
    """

    def __init__(self, *, taps):
        self.taps = taps
        self.allowed = []
        self.offered = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def serve(self, connection):
        with contextlib.suppress(OSError, EOFError):
            if self.authorize(connection):
                while True:
                    self.service(connection, *self.receive(connection))

    def send(self, connection, name, first, second, data=b""):
        command = number_of(name)
        head = HEADER.pack(
            command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF
        )
        connection.sendall(head + data)

    def receive(self, connection):
        head = self.exactly(connection, HEADER.size)
        command, first, second, size, _, _ = HEADER.unpack(head)
        return command.to_bytes(4, "little"), first, second, self.exactly(connection, size)

    def exactly(self, connection, size):
        data = b""
        while len(data) < size:
            more = connection.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def authorize(self, connection):
        token = os.urandom(20)
        while True:
            name, kind, _, data = self.receive(connection)
            if name == b"CNXN":
                self.send(connection, b"AUTH", TOKEN, 0, token)
            elif name == b"AUTH" and kind == SIGNATURE:
                if any(self.signed(key, token, data) for key in self.allowed):
                    break
                token = os.urandom(20)
                self.send(connection, b"AUTH", TOKEN, 0, token)
            elif name == b"AUTH" and kind == PUBLIC_KEY:
                self.offered.append(data)
                if not self.taps:
                    continue
                time.sleep(0.2)
                self.allowed.append(decoded(data))
                break
        self.send(connection, b"CNXN", 0x01000001, 1 << 20, BANNER)
        return True

    def signed(self, key, token, signature):
        with contextlib.suppress(InvalidSignature):
            key.verify(signature, token, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))
            return True
        return False

    def service(self, connection, name, remote, ours, data):
        if name != b"OPEN":
            return
        service = data.rstrip(b"\0")
        local = 7
        self.send(connection, b"OKAY", local, remote)
        answer = service.partition(b":")[2]
        frames = struct.pack("<BI", 1, len(answer)) + answer + struct.pack("<BIB", 3, 1, 3)
        # One packet is in flight at a time: ours waits for the client's acknowledgement.
        self.send(connection, b"WRTE", local, remote, frames)
        while True:
            name, _, _, _ = self.receive(connection)
            if name == b"WRTE":
                self.send(connection, b"OKAY", local, remote)
            if name == b"OKAY":
                break
        self.send(connection, b"CLSE", local, remote)


@pytest.fixture
def double():
    made = []

    def make(*, taps):
        made.append(Double(taps=taps))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without keys."""
    folder = tmp_path / ".android"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ADB_VENDOR_KEYS", raising=False)
    return folder


@pytest.fixture
def server(session_phone, home, short_folder):
    """The platform adb's server, outside of the virtual phone's network, with the user's keys."""
    address = f"localfilesystem:{short_folder}/s"
    with subprocess.Popen(
        [session_phone.folder / "bin/adb", "-L", address, "server", "nodaemon"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        end = time.monotonic() + 20
        while not (short_folder / "s").exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield address
        process.kill()


def direct(device, **options):
    host, port = device.serial.split(":")

    def dial(deadline):
        return socket.create_connection((host, int(port)), timeout=deadline.left_s())

    return AdbTransport(adb_shell.AdbShellLink(device.serial, SocketPipe(dial), **options))


def await_state(server, device, wanted):
    end = time.monotonic() + 20
    while {one.serial: one.state for one in adb_server.list_devices(server)} != {
        device.serial: wanted
    }:
        assert time.monotonic() < end, adb_server.list_devices(server)
        time.sleep(0.05)


def test_a_new_key_waits_for_the_tap_and_is_known_afterwards(double, home):
    device = double(taps=True)
    with contextlib.closing(direct(device)) as transport:
        result = transport.run("hello")
    assert (result.stdout, result.exit_code) == ("hello", 3)
    assert len(device.offered) == 1
    with contextlib.closing(direct(device)) as transport:
        assert transport.run("again").stdout == "again"
    assert len(device.offered) == 1


def test_without_a_tap_the_message_says_what_to_tap(double, home, one_line):
    device = double(taps=False)
    with (
        contextlib.closing(direct(device, tap_timeout_s=0.5)) as transport,
        pytest.raises(UnauthorizedError) as error,
    ):
        transport.run("hello")
    one_line(error, 3, device.serial, "unlock the phone", "Always allow")
    assert len(device.offered) == 1


def test_waiting_does_not_hide_that_a_tap_is_wanted(double, home):
    device = double(taps=False)
    begin = time.monotonic()
    with (
        contextlib.closing(direct(device, tap_timeout_s=0.5)) as transport,
        pytest.raises(UnauthorizedError),
    ):
        transport.wait(20)
    assert time.monotonic() - begin < 5


def test_the_key_made_is_private_and_stays(double, home):
    device = double(taps=True)
    with contextlib.closing(direct(device)) as transport:
        transport.run("hello")
    assert (home / "adbkey").stat().st_mode & 0o077 == 0
    first = (home / "adbkey").read_bytes()
    assert device.offered[0].rstrip(b"\0") == (home / "adbkey.pub").read_bytes()
    keys.signers()
    assert (home / "adbkey").read_bytes() == first
    assert sorted(path.name for path in home.iterdir()) == ["adbkey", "adbkey.pub"]


def test_a_key_without_its_public_half_gets_it_again(home):
    keys.signers()
    expected = (home / "adbkey.pub").read_bytes()
    (home / "adbkey.pub").unlink()
    keys.signers()
    assert (home / "adbkey.pub").read_bytes().split()[0] == expected.split()[0]


def test_vendor_keys_are_tried_as_well(double, home, tmp_path, monkeypatch):
    keys.signers()
    vendor = tmp_path / "vendor.adb_key"
    (home / "adbkey").rename(vendor)
    known = (home / "adbkey.pub").read_bytes()
    (home / "adbkey.pub").unlink()
    monkeypatch.setenv("ADB_VENDOR_KEYS", str(tmp_path))
    device = double(taps=False)
    device.allowed.append(decoded(known))
    with contextlib.closing(direct(device)) as transport:
        assert transport.run("hello").stdout == "hello"
    assert device.offered == []


def test_a_key_the_platform_adb_made_is_ours_too(double, home, server):
    device = double(taps=True)
    # The server says that it failed, keeps the connection, and is let in after the tap.
    adb_server.ask(server, f"host:connect:{device.serial}")
    await_state(server, device, "device")
    through_server = adb_server.over_server(device.serial, server)
    assert through_server.run("hello").stdout == "hello"
    assert len(device.offered) == 1
    adb_server.ask(server, f"host:disconnect:{device.serial}")
    with contextlib.closing(direct(device)) as transport:
        assert transport.run("hello").stdout == "hello"
    assert len(device.offered) == 1


def test_the_platform_adb_tells_of_an_unauthorised_phone(double, home, server, one_line):
    device = double(taps=False)
    adb_server.ask(server, f"host:connect:{device.serial}", timeout_s=30)
    await_state(server, device, "unauthorized")
    with pytest.raises(UnauthorizedError) as error:
        adb_server.over_server(device.serial, server).run("hello")
    one_line(error, 3, device.serial, "Always allow")


def test_something_that_is_no_phone_is_told_apart(home, one_line):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serial = f"127.0.0.1:{listener.getsockname()[1]}"

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ConnectionLostError) as error:
            adb_shell.over_tcp(serial).run("hello", timeout_s=5)
        thread.join()
    one_line(error, 3, serial)
