"""What comes over a wire: adbd's packets and services, and the adb server's answers."""

import struct

from android_bench.transports import adb_server, file_sync, shell_v2
from android_bench.transports.adb_shell import AdbShellLink
from android_bench.transports.device_listing import parse_listing
from android_bench.transports.streams import Deadline
from fuzzing import Input, target
from fuzzing.scripted import ScriptedConnection, ScriptedLink, ScriptedPipe

_DEADLINE = Deadline(1e6, "a fuzzed answer")


def _frame(kind: int, content: bytes) -> bytes:
    return struct.pack("<BI", kind, len(content)) + content


@target(
    "shell-v2",
    _frame(1, b"output\n") + _frame(2, b"error\n") + _frame(1, b"more" * 100) + _frame(3, b"\0"),
    _frame(3, b"\x8b"),
    _frame(9, b"unknown") + _frame(1, b"") + _frame(3, b"\x02"),
    _frame(1, b"x")[:3],
    struct.pack("<BI", 1, 0xFFFFFFFF),
    struct.pack("<BI", 3, 0),
)
def check_shell(given: Input) -> None:
    link = ScriptedLink(given.pieces())
    result = shell_v2.run(link, "command", _DEADLINE)
    assert link.closed
    assert 0 <= result.exit_code <= 255
    assert len(result.stdout_bytes) + len(result.stderr_bytes) <= len(given.data)


def _block(name: bytes, size: int, content: bytes = b"") -> bytes:
    return name + struct.pack("<I", size) + content


@target(
    "file-sync",
    _block(b"DATA", 5, b"hello") + _block(b"DATA", 200, b"w" * 200) + _block(b"DONE", 0),
    _block(b"FAIL", 9, b"no luck\xff!"),
    _block(b"OKAY", 0),
    _block(b"DATA", 0xFFFFFFFF, b"some"),
    _block(b"DONE", 0) + _block(b"DATA", 1, b"x"),
)
def check_file_sync(given: Input) -> None:
    received = []
    file_sync.receive(ScriptedLink(given.pieces()), "/remote", received.append, _DEADLINE)
    assert sum(map(len, received)) <= len(given.data)


def _sized(text: bytes) -> bytes:
    return b"%04x" % len(text) + text


@target(
    "adb-server",
    b"OKAY" + _sized(b"R58M12ABC              device product:x model:y device:z transport_id:1\n"),
    b"OKAY" + _sized(b""),
    b"FAIL" + _sized(b"device 'x' not found"),
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"OKAYffff" + b"y" * 500,
    b"OKAY-001abc",
)
def check_server(given: Input) -> None:
    connection = ScriptedConnection(given.pieces())
    text = adb_server.read_answer(connection, "host:devices-l", _DEADLINE)
    # A byte that is no text is shown as four characters.
    assert len(text) <= 4 * 0xFFFF


@target(
    "devices-l",
    "R58M12ABC              device usb:1-4 product:a model:SM_G device:b transport_id:1\n"
    "adb-R5CT123 (2)._adb-tls-connect._tcp device product:p model:M device:d transport_id:7\n"
    "192.168.1.5:5555       offline transport_id:12\n",
    "0123456789ABCDEF       no permissions (user in plugdev group; are your udev rules wrong?); "
    "see [http://developer.android.com/tools/device.html] usb:3-1 transport_id:2\n",
    "emulator-5554\tdevice\nR58M\tunauthorized\n",
)
def check_listing(given: Input) -> None:
    found = parse_listing(given.text)
    assert len(found) <= given.text.count("\n") + 1
    for device in found:
        assert device.serial
        assert device.state
        assert "\n" not in device.serial + device.state + device.description


def _packet(command: bytes, first: int, second: int, data: bytes = b"") -> bytes:
    number = int.from_bytes(command, "little")
    return (
        struct.pack(
            "<6I", number, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF
        )
        + data
    )


_HELLO = _packet(b"CNXN", 0x01000001, 1 << 20, b"device::ro.product.name=x;features=shell_v2\0")
_TALK = _packet(b"OKAY", 7, 1) + _packet(b"WRTE", 7, 1, b"words" * 20)


class _Signer:
    def Sign(self, data: bytes) -> bytes:
        assert len(data) == 20
        return b"s" * 256

    def GetPublicKey(self) -> bytes:
        return b"key"


@target(
    "adb-packets",
    _HELLO + _TALK + _packet(b"OKAY", 7, 1) + _packet(b"CLSE", 7, 1),
    _packet(b"AUTH", 1, 0, b"t" * 20) + _HELLO + _TALK + _packet(b"CLSE", 7, 1),
    _packet(b"AUTH", 1, 0, b"t" * 20) * 2 + _HELLO + _packet(b"CLSE", 0, 1),
    _packet(b"CNXN", 0x01000000, 0, b"device::") + _TALK,
    _packet(b"STLS", 0x01000000, 0),
    _HELLO + _packet(b"WRTE", 9, 8, b"another stream's") + _TALK + _packet(b"CLSE", 7, 1),
)
def check_packets(given: Input) -> None:
    link = AdbShellLink("scripted", ScriptedPipe(given.pieces()), signers=lambda: [_Signer()])
    stream = link.open("shell,v2,raw:true", _DEADLINE)
    stream.write(b"in", _DEADLINE)
    heard = 0
    while more := stream.read(_DEADLINE):
        heard += len(more)
    stream.close()
    assert heard <= len(given.data)
