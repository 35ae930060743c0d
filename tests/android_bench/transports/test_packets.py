"""What an adbd may claim in its packets, and what that costs."""

import struct
import tracemalloc

import pytest
from fuzzing.scripted import ScriptedPipe
from fuzzing.wire_targets import _HELLO, _TALK, _packet, _Signer

from android_bench.errors import ConnectionLostError, ProtocolError
from android_bench.transports.adb_shell import AdbShellLink
from android_bench.transports.packets import read_packet
from android_bench.transports.streams import Deadline


class EndlessPipe(ScriptedPipe):
    """Says something, and then the same for ever."""

    def __init__(self, begin, then):
        super().__init__([begin])
        self.then = then

    def read(self, size, deadline):
        try:
            return super().read(size, deadline)
        except ConnectionResetError:
            self._pieces = ScriptedPipe([self.then])._pieces
            return super().read(size, deadline)


def link_to(pipe):
    return AdbShellLink("phone", pipe, signers=lambda: [_Signer()])


def deadline(seconds=30.0):
    return Deadline(seconds, "a test")


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (struct.pack("<6I", 0x4E584E43, 0, 0, 0xFFFFFFFF, 0, 0xB1A7B1BC), "4294967295 bytes"),
        (struct.pack("<6I", 0x4E584E43, 0, 0, 0, 0, 0), "no packet"),
        (b"HTTP/1.1 400 Bad Request\r\n", "no packet"),
        (_packet(b"WRTE", 1, 1, b"words")[:-1] + b"X", "damaged"),
    ],
)
def test_a_header_is_believed_only_as_far_as_it_can_be_true(head, says):
    with pytest.raises(ProtocolError, match=says):
        read_packet(ScriptedPipe([head]), deadline())


def test_a_packet_that_claims_4_gib_takes_no_memory(one_line):
    head = struct.pack("<6I", 0x45545257, 7, 1, 0xFFFFFFFF, 0, 0x45545257 ^ 0xFFFFFFFF)
    link = link_to(EndlessPipe(_HELLO + _TALK + head, b"\0" * (1 << 20)))
    stream = link.open("shell:", deadline())
    assert stream.read(deadline())
    tracemalloc.start()
    with pytest.raises(ConnectionLostError) as error:
        stream.read(deadline())
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    one_line(error, 3, "phone", "announces a packet of 4294967295 bytes")


def test_packets_of_other_streams_are_dropped_not_kept():
    other = _packet(b"WRTE", 99, 98, b"x" * 1000)
    link = link_to(EndlessPipe(_HELLO + _TALK, other))
    stream = link.open("shell:", deadline())
    stream.read(deadline())
    tracemalloc.start()
    with pytest.raises(Exception, match="took more than"):
        stream.read(deadline(0.3))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_device_that_talks_instead_of_listening_is_given_up(one_line):
    link = link_to(EndlessPipe(_HELLO + _TALK, _packet(b"WRTE", 7, 1, b"x" * (1 << 20))))
    stream = link.open("shell:", deadline())
    with pytest.raises(ConnectionLostError) as error:
        stream.write(b"hello", deadline())
    one_line(error, 3, "phone", "instead of listening")


def test_a_device_that_takes_nothing_at_once_is_not_written_to_for_ever(one_line):
    with pytest.raises(ConnectionLostError) as error:
        link_to(ScriptedPipe([_packet(b"CNXN", 0x01000000, 0, b"device::")])).open("x:", deadline())
    one_line(error, 3, "phone", "takes 0 bytes at once")


@pytest.mark.parametrize("token", [b"", b"t" * 19, b"t" * 4096])
def test_only_a_token_is_signed(token, one_line):
    with pytest.raises(ConnectionLostError) as error:
        link_to(ScriptedPipe([_packet(b"AUTH", 1, 0, token)])).open("x:", deadline())
    one_line(error, 3, "phone", "nothing to sign")


def test_a_phone_that_wants_encryption_says_what_to_use(one_line):
    with pytest.raises(ConnectionLostError) as error:
        link_to(ScriptedPipe([_packet(b"STLS", 0x01000000, 0)])).open("x:", deadline())
    one_line(error, 3, "phone", "use the platform adb")


def test_a_broken_conversation_is_over_and_the_next_connects_again():
    class Pipe(ScriptedPipe):
        connections = 0

        def connect(self, deadline):
            self.connections += 1
            self._pieces = ScriptedPipe([_HELLO + _TALK])._pieces

    pipe = Pipe([])
    link = link_to(pipe)
    stream = link.open("shell:", deadline())
    assert stream.read(deadline()) == b"words" * 20
    with pytest.raises(ConnectionLostError):
        stream.read(deadline())
    stream.close()  # says nothing: the connection is gone
    assert pipe.connections == 1
    # Streams are numbered on, so the double's answers are for a stream that is no more.
    with pytest.raises(ConnectionLostError):
        link.open("shell:", deadline())
    assert pipe.connections == 2
