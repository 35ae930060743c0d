import contextlib
import os
import subprocess
import sys
import time

import pytest

from android_bench.devices.phone.choice import list_devices, open_transport
from android_bench.errors import (
    ConnectionLostError,
    DeviceTimeoutError,
    NoDeviceError,
    UnauthorizedError,
)
from android_bench.transports import adb_server, adb_shell
from android_bench.transports.device_listing import ListedDevice
from android_bench.virtual_phone import hooks
from pfd_models.errors import InputError


@pytest.fixture
def server(phone, monkeypatch):
    """The environment of somebody whose adb server is the phone's."""
    for name, value in phone.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANDROID_SERIAL")
    adb_server.over_server(phone.serial).wait(30)
    return phone.environment()["ADB_SERVER_SOCKET"]


@pytest.fixture
def nothing(short_folder, monkeypatch):
    """A computer without an adb program and without a server."""
    monkeypatch.setenv("PATH", str(short_folder))
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{short_folder}/none.sock")


def test_the_only_phone_is_taken_when_none_is_named(server, phone):
    chosen = open_transport()
    assert (chosen.serial, chosen.kind) == (phone.serial, "adb-server")
    assert chosen.properties()["ro.soc.model"] == "MT6889Z/CZA"


def test_a_phone_the_server_owns_is_reached_through_it(server, phone):
    assert open_transport(phone.serial).kind == "adb-server"


def test_this_computer_is_a_device_too(nothing):
    assert open_transport("host").kind == "local"


def test_the_virtual_phone_is_started_when_asked_for(nothing, session_phone, monkeypatch):
    from android_bench.virtual_phone import phone

    monkeypatch.setattr(phone, "find", lambda name: session_phone)
    with contextlib.closing(open_transport("virtual")) as chosen:
        assert chosen.kind == "adb-shell"
        assert chosen.properties()["ro.pfd.virtual"] == "1"


def test_no_phone_at_all_says_what_to_do(nothing, one_line):
    with pytest.raises(NoDeviceError) as error:
        open_transport()
    one_line(error, 3, "USB debugging", "HOST:PORT", "virtual")


def test_two_phones_and_none_named_lists_them(server, phone, one_line):
    twin = phone.serial.replace("127.0.0.1", "localhost")
    adb_server.ask(server, f"host:connect:{twin}")
    try:
        with pytest.raises(NoDeviceError) as error:
            open_transport()
        one_line(error, 3, "2 devices", phone.serial, twin, "--serial")
        assert open_transport(twin).serial == twin
    finally:
        adb_server.ask(server, f"host:disconnect:{twin}")


def test_a_phone_that_is_not_there_is_named_with_those_that_are(server, phone, one_line):
    with pytest.raises(NoDeviceError) as error:
        open_transport("R58M12ABCDE")
    one_line(error, 3, "R58M12ABCDE", f"{phone.serial} device")


def test_an_offline_phone_says_how_to_bring_it_back(server, phone, one_line):
    hooks.kill_daemon(phone)
    end = time.monotonic() + 10
    while [one.state for one in list_devices()] == ["device"]:
        assert time.monotonic() < end, "the server did not notice"
        time.sleep(0.02)
    with pytest.raises(ConnectionLostError) as error:
        open_transport(phone.serial)
    one_line(error, 3, phone.serial, "reconnect")


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ("offline", ConnectionLostError, ["offline", "adb -s ABC reconnect"]),
        ("unauthorized", UnauthorizedError, ["unlock the phone", "Allow"]),
        ("authorizing", UnauthorizedError, ["Allow"]),
        ("no permissions", ConnectionLostError, ["udev"]),
        ("recovery", ConnectionLostError, ["recovery"]),
    ],
)
def test_each_state_of_the_only_phone_has_its_own_advice(
    nothing, monkeypatch, one_line, state, kind, words
):
    seen = [ListedDevice(serial="ABC", state=state, description="", via="adb-server")]
    monkeypatch.setattr(adb_server, "list_devices", lambda address, cancellation: seen)
    with pytest.raises(kind) as error:
        open_transport()
    one_line(error, 3, "ABC", *words)


def test_an_address_where_nobody_listens_is_not_waited_for(nothing, one_line):
    with pytest.raises(ConnectionLostError) as error:
        open_transport("127.0.0.1:1")
    one_line(error, 3, "127.0.0.1:1", "connection refused", "adb tcpip 5555")


def test_the_list_tells_state_and_way(server, phone):
    (seen,) = list_devices()
    assert (seen.serial, seen.state, seen.via) == (phone.serial, "device", "adb-server")


def test_a_named_server_that_does_not_answer_is_an_error(nothing, one_line):
    with pytest.raises(ConnectionLostError) as error:
        list_devices("127.0.0.1:1")
    one_line(error, 3, "tcp:127.0.0.1:1", "adb start-server")


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("lab-host", "tcp:lab-host:5037"),
        ("lab-host:6000", "tcp:lab-host:6000"),
        ("tcp:[::1]:5037", "tcp:[::1]:5037"),
        ("tcp:5038", "tcp:127.0.0.1:5038"),
        ("localfilesystem:/run/adb.sock", "localfilesystem:/run/adb.sock"),
    ],
)
def test_the_servers_address_has_adbs_forms(named, address):
    assert adb_server.server_address(named) == address


@pytest.mark.parametrize("named", ["lab:99999", "lab:port", "vsock:1:2:x"])
def test_an_address_of_no_known_form_is_the_users_mistake(named, one_line):
    with pytest.raises(InputError) as error:
        adb_server.server_address(named)
    one_line(error, 2, named)


def test_the_environment_names_the_server(monkeypatch):
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    monkeypatch.setenv("ANDROID_ADB_SERVER_ADDRESS", "lab")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "6001")
    assert adb_server.server_address() == "tcp:lab:6001"


def test_a_phone_on_usb_needs_libusb_or_is_not_there(one_line):
    with pytest.raises(NoDeviceError) as error:
        adb_shell.over_usb("R58M12ABCDE")
    one_line(error, 3, "USB")


# Runs inside the phone's network: real TCP to adbd, and an adb server on a TCP port, which is
# how a phone of another computer is used.
_BESIDE = """
import subprocess, time
from android_bench.devices.phone.choice import open_transport
from android_bench.transports import adb_server, adb_shell
serial, port = "127.0.0.1:5600", 5099
direct = adb_shell.over_tcp(serial)
assert direct.run("echo direct; exit 3").exit_code == 3
process = subprocess.Popen(["adb", "-L", f"tcp:{port}", "server", "nodaemon"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(100):
        try:
            said = adb_server.ask(f"tcp:127.0.0.1:{port}", f"host:connect:{serial}")
            break
        except Exception:
            time.sleep(0.1)
    remote = open_transport(serial, server=f"127.0.0.1:{port}")
    print(remote.kind, remote.run("getprop ro.soc.model").stdout.strip())
finally:
    process.kill()
    process.wait()
"""


def test_real_tcp_and_a_server_at_an_address(session_phone, repository, short_folder):
    beside = ["-m", "android_bench.virtual_phone", "run", "--", sys.executable, "-c", _BESIDE]
    done = subprocess.run(
        [sys.executable, *beside],
        cwd=repository,
        env={**os.environ, "TMPDIR": str(short_folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "adb-server MT6889Z/CZA\n", done.stderr


def test_waiting_for_a_phone_that_never_comes_ends(server, one_line):
    with pytest.raises(DeviceTimeoutError) as error:
        adb_server.over_server("R58M12ABCDE").wait(1.0)
    one_line(error, 3, "R58M12ABCDE", "1 s", "not connected")
