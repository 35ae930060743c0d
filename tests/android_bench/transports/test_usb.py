"""Phones on USB without one: the library's classes replaced by doubles of the same names."""

import ast
import sys
import types
from importlib import metadata

import pytest
from fuzzing.wire_targets import _HELLO, _packet, _Signer

from android_bench.cancellation import Cancellation, Cancelled
from android_bench.devices.phone.choice import list_devices
from android_bench.errors import ConnectionLostError, NoDeviceError
from android_bench.transports import adb_library, adb_shell, keys
from android_bench.transports.streams import Deadline
from android_bench.transports.usb import UsbPipe, find_usb_phones
from pfd_models.errors import DeviceError, InputError


class USBError(Exception):
    pass


class USBErrorTimeout(USBError):
    received = b""
    transferred = 0


@pytest.fixture
def usb(monkeypatch):
    """libusb with phones that a test puts in."""
    from adb_shell import exceptions

    class UsbTransport:
        phones = ()

        @classmethod
        def find_all_adb_devices(cls):
            return iter(cls.phones)

    usb1 = types.ModuleType("usb1")
    usb1.USBError = USBError
    module = types.ModuleType("adb_shell.transport.usb_transport")
    module.UsbTransport = UsbTransport
    monkeypatch.setitem(sys.modules, "usb1", usb1)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    UsbTransport.timeout = lambda self=None, **facts: exceptions.UsbReadFailedError(
        "slice", _with(USBErrorTimeout(), facts)
    )
    return UsbTransport


def _with(error, facts):
    for name, value in facts.items():
        setattr(error, name, value)
    return error


class Phone:
    """Answers with the given transfers; an exception among them is raised."""

    def __init__(self, serial, *transfers):
        self.serial = serial
        self.transfers = list(transfers)
        self.sent = []
        self.limits = []

    @property
    def serial_number(self):
        if self.serial is None:
            raise USBError("LIBUSB_ERROR_ACCESS")
        return self.serial

    def connect(self, timeout_s):
        pass

    def close(self):
        pass

    def bulk_read(self, size, timeout_s):
        self.limits.append(timeout_s)
        if not self.transfers:
            raise USBError("LIBUSB_ERROR_NO_DEVICE")
        transfer = self.transfers.pop(0)
        if isinstance(transfer, Exception):
            raise transfer
        if len(transfer) > size:
            self.transfers.insert(0, transfer[size:])
        return transfer[:size]

    def bulk_write(self, data, timeout_s):
        self.limits.append(timeout_s)
        self.sent.append(data)
        return len(data)


def test_waiting_is_cut_into_slices_and_loses_nothing(usb):
    phone = Phone("A", usb.timeout(), usb.timeout(received=b"he"), usb.timeout(), b"llo")
    pipe, deadline = UsbPipe(phone), Deadline(60, "words")
    assert pipe.read(5, deadline) + pipe.read(3, deadline) == b"hello"
    assert max(phone.limits) < 1


def test_a_write_that_a_slice_cut_goes_on_where_it_was(usb):
    class Slow(Phone):
        def bulk_write(self, data, timeout_s):
            super().bulk_write(data, timeout_s)
            if len(data) > 3:
                raise usb.timeout(transferred=2)
            return len(data)

    phone = Slow("A")
    UsbPipe(phone).write(b"abcdefg", Deadline(60, "words"))
    assert phone.sent == [b"abcdefg", b"cdefg", b"efg"]


def test_a_cancelled_wait_ends_between_two_slices(usb):
    cancellation = Cancellation()

    class Silent(Phone):
        def bulk_read(self, size, timeout_s):
            cancellation.cancel()
            raise usb.timeout()

    with pytest.raises(Cancelled):
        UsbPipe(Silent("A")).read(1, Deadline(60, "words", cancellation))


def test_a_pulled_cable_is_a_lost_connection(usb, one_line):
    phone = Phone("A", _HELLO, _packet(b"OKAY", 7, 1))
    link = adb_shell.AdbShellLink("A", UsbPipe(phone), signers=lambda: [_Signer()])
    stream = link.open("shell:", Deadline(5, "x"))
    with pytest.raises(ConnectionLostError) as error:
        stream.read(Deadline(5, "x"))
    one_line(error, 3, "A", "no_device", "plug it in")


def test_a_phone_that_may_not_be_opened_is_listed_all_the_same(usb, monkeypatch, tmp_path):
    usb.phones = [Phone(None), Phone("R58M")]
    assert [phone.serial for phone in find_usb_phones()] == ["", "R58M"]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{tmp_path}/none")
    assert [(one.serial, one.state) for one in list_devices()] == [
        ("", "no permissions"),
        ("R58M", "device"),
    ]
    usb.phones = usb.phones[:1]
    with pytest.raises(NoDeviceError, match="found: unnamed"):
        adb_shell.over_usb("R58M")


def test_without_libusb_the_way_to_it_is_told(monkeypatch, one_line):
    monkeypatch.setitem(sys.modules, "adb_shell.transport.usb_transport", None)
    with pytest.raises(NoDeviceError) as error:
        find_usb_phones()
    one_line(error, 3, "libusb", "install adb")


def test_a_usb_bus_that_cannot_be_searched_is_one_line(usb, monkeypatch, one_line):
    def fail(cls):
        raise USBError("LIBUSB_ERROR_OTHER [-99]")

    monkeypatch.setattr(usb, "find_all_adb_devices", classmethod(fail))
    with pytest.raises(NoDeviceError) as error:
        find_usb_phones()
    one_line(error, 3, "LIBUSB_ERROR_OTHER")


# -- the library -------------------------------------------------------------------------------


def test_the_version_that_was_tried_is_the_one_that_is_here():
    assert metadata.version("adb-shell") == adb_library.TRIED_VERSION
    adb_library.require_tried_version()


def test_another_version_is_refused_in_one_line(monkeypatch, one_line):
    monkeypatch.setattr(adb_library.metadata, "version", lambda name: "0.5.0")
    for call in (find_usb_phones, keys.signers):
        with pytest.raises(DeviceError) as error:
            call()
        one_line(error, 3, "0.5.0", "0.4.4", "pip install adb-shell==0.4.4")


def test_no_library_at_all_is_one_line(monkeypatch, one_line):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(adb_library.metadata, "version", absent)
    with pytest.raises(DeviceError) as error:
        find_usb_phones()
    one_line(error, 3, "not installed", "pip install")


def test_one_module_names_the_library_and_only_public_names(repository):
    used = {}
    for path in (repository / "android_bench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.ImportFrom)
                and (node.module or "").split(".")[0] == "adb_shell"
            ):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                used.setdefault(path.name, []).extend(names)
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names if a.name.split(".")[0] == "adb_shell"]
                if names:
                    used.setdefault(path.name, []).extend(names)
    assert list(used) == ["adb_library.py"]
    assert not [name for name in used["adb_library.py"] if "._" in name]
    assert (
        f'"adb-shell=={adb_library.TRIED_VERSION}"' in (repository / "pyproject.toml").read_text()
    )


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_named(tmp_path, monkeypatch, one_line, content):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".android").mkdir()
    key = tmp_path / ".android" / "adbkey"
    key.write_bytes(content)
    with pytest.raises(InputError) as error:
        keys.signers()
    one_line(error, 2, str(key), "move it away")
    key.with_name("adbkey.pub").write_text("public")
    with pytest.raises(InputError) as error:
        keys.signers()
    one_line(error, 2, str(key))
