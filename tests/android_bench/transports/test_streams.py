"""The two protocols on streams that deliver in any pieces, end anywhere, or say nonsense."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import (
    ConnectionLostError,
    DeviceTimeoutError,
    ProtocolError,
    TransferError,
)
from android_bench.transports import file_sync, shell_v2
from android_bench.transports.streams import Deadline


class Scripted:
    """A link to a device that says the given pieces and then ends."""

    serial = "scripted"
    kind = "scripted"

    def __init__(self, pieces):
        self.pieces = list(pieces)
        self.written = b""
        self.closed = False

    def open(self, service, deadline):
        self.service = service
        return self

    def write(self, data, deadline):
        self.written += bytes(data)

    def read(self, deadline):
        return self.pieces.pop(0) if self.pieces else b""

    def pending(self):
        return False

    def close(self):
        self.closed = True


def cut(data, lengths):
    pieces = []
    for length in lengths:
        if data:
            pieces.append(data[:length])
            data = data[length:]
    return [*pieces, data] if data else pieces


def frame(kind, content):
    return struct.pack("<BI", kind, len(content)) + content


frames = st.lists(st.tuples(st.sampled_from([1, 2, 9]), st.binary(max_size=40)), max_size=8)
cuts = st.lists(st.integers(1, 20), max_size=60)


@given(frames, cuts, st.integers(0, 255))
def test_a_shells_frames_are_put_together_however_they_are_cut(said, lengths, code):
    data = b"".join(frame(kind, content) for kind, content in said) + frame(3, bytes([code]))
    link = Scripted(cut(data, lengths))
    result = shell_v2.run(link, "anything", Deadline(5, "x"))
    assert result.exit_code == code
    assert result.stdout_bytes == b"".join(content for kind, content in said if kind == 1)
    assert result.stderr_bytes == b"".join(content for kind, content in said if kind == 2)
    assert link.closed
    assert link.service == "shell,v2,raw:anything"


@given(frames, st.data())
def test_a_shell_that_ends_early_is_a_lost_connection(said, data):
    whole = b"".join(frame(kind, content) for kind, content in said) + frame(3, b"\0")
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    link = Scripted([part] if part else [])
    with pytest.raises(ConnectionLostError):
        shell_v2.run(link, "anything", Deadline(5, "x"))
    assert link.closed


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), cuts)
def test_a_received_file_is_put_together_however_it_is_cut(blocks, lengths):
    data = b"".join(b"DATA" + struct.pack("<I", len(block)) + block for block in blocks)
    link = Scripted(cut(data + b"DONE\0\0\0\0", lengths))
    file = io.BytesIO()
    file_sync.receive(link, "/x", file.write, Deadline(5, "x"))
    assert file.getvalue() == b"".join(blocks)
    assert link.written == b"RECV\2\0\0\0/xQUIT\0\0\0\0"


def test_a_refusal_is_told_in_the_devices_words(tmp_path):
    refusal = b"FAIL" + struct.pack("<I", 9) + b"no luck\xff!"
    with pytest.raises(TransferError, match=r"refused /x: no luck\\xff!"):
        file_sync.receive(Scripted([refusal]), "/x", io.BytesIO().write, Deadline(5, "x"))
    (tmp_path / "f").write_bytes(b"abc")
    with pytest.raises(TransferError, match="no luck"):
        file_sync.send(
            Scripted([refusal]), tmp_path / "f", "/x", lambda sent: None, Deadline(5, "x")
        )


def test_an_answer_that_is_no_answer_is_told(tmp_path):
    with pytest.raises(ProtocolError, match="none of the protocol's"):
        file_sync.receive(Scripted([b"HTTP/1.1"]), "/x", io.BytesIO().write, Deadline(5, "x"))


def test_what_is_sent_is_the_protocols(tmp_path):
    (tmp_path / "f").write_bytes(b"z" * 70_000)
    link = Scripted([b"OKAY\0\0\0\0"])
    steps = []
    file_sync.send(link, tmp_path / "f", "/x", steps.append, Deadline(5, "x"))
    assert steps == [70_000]
    head = b"SEND" + struct.pack("<I", 8) + b"/x,33188"
    assert link.written.startswith(head + b"DATA" + struct.pack("<I", 65_536))
    assert link.written.endswith(b"QUIT\0\0\0\0")


def test_a_deadline_ends_with_a_sentence():
    with pytest.raises(DeviceTimeoutError, match=r"a thing took more than 0 s"):
        Deadline(0, "a thing").left_s()
