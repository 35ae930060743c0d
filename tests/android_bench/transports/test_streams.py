"""The two protocols on streams that deliver in any pieces, end anywhere, or say nonsense."""

import io
import struct
import tracemalloc

import pytest
from fuzzing.scripted import ScriptedLink
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
    link = ScriptedLink(cut(data, lengths))
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
    link = ScriptedLink([part] if part else [])
    with pytest.raises(ConnectionLostError):
        shell_v2.run(link, "anything", Deadline(5, "x"))
    assert link.closed


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), cuts)
def test_a_received_file_is_put_together_however_it_is_cut(blocks, lengths):
    data = b"".join(b"DATA" + struct.pack("<I", len(block)) + block for block in blocks)
    link = ScriptedLink(cut(data + b"DONE\0\0\0\0", lengths))
    file = io.BytesIO()
    file_sync.receive(link, "/x", file.write, Deadline(5, "x"))
    assert file.getvalue() == b"".join(blocks)
    assert link.written == b"RECV\2\0\0\0/xQUIT\0\0\0\0"


def test_a_refusal_is_told_in_the_devices_words(tmp_path):
    refusal = b"FAIL" + struct.pack("<I", 9) + b"no luck\xff!"
    with pytest.raises(TransferError, match=r"refused /x: no luck\\xff!"):
        file_sync.receive(ScriptedLink([refusal]), "/x", io.BytesIO().write, Deadline(5, "x"))
    (tmp_path / "f").write_bytes(b"abc")
    with pytest.raises(TransferError, match="no luck"):
        file_sync.send(
            ScriptedLink([refusal]), tmp_path / "f", "/x", lambda sent: None, Deadline(5, "x")
        )


def test_an_answer_that_is_no_answer_is_told(tmp_path):
    with pytest.raises(ProtocolError, match="none of the protocol's"):
        file_sync.receive(ScriptedLink([b"HTTP/1.1"]), "/x", io.BytesIO().write, Deadline(5, "x"))


def test_what_is_sent_is_the_protocols(tmp_path):
    (tmp_path / "f").write_bytes(b"z" * 70_000)
    link = ScriptedLink([b"OKAY\0\0\0\0"])
    steps = []
    file_sync.send(link, tmp_path / "f", "/x", steps.append, Deadline(5, "x"))
    assert steps == [70_000]
    head = b"SEND" + struct.pack("<I", 8) + b"/x,33188"
    assert link.written.startswith(head + b"DATA" + struct.pack("<I", 65_536))
    assert link.written.endswith(b"QUIT\0\0\0\0")


def test_a_deadline_ends_with_a_sentence():
    with pytest.raises(DeviceTimeoutError, match=r"a thing took more than 0 s"):
        Deadline(0, "a thing").left_s()


@pytest.mark.parametrize("size", [0, 2, 1 << 20, 0xFFFFFFFF])
def test_an_exit_frame_holds_one_byte(size, one_line):
    link = ScriptedLink([struct.pack("<BI", 3, size) + b"\0" * 10])
    with pytest.raises(ProtocolError) as error:
        shell_v2.run(link, "anything", Deadline(5, "x"))
    one_line(error, 3, "scripted", f"kind 3 and {size} bytes")
    assert link.closed


class Endless(ScriptedLink):
    """Says the first pieces, and then zeros for ever."""

    def read(self, deadline):
        return super().read(deadline) or bytes(1 << 20)


def test_a_frame_that_claims_4_gib_takes_no_memory(one_line):
    link = Endless([struct.pack("<BI", 1, 0xFFFFFFFF)])
    tracemalloc.start()
    with pytest.raises(ProtocolError) as error:
        shell_v2.run(link, "anything", Deadline(30, "x"))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    one_line(error, 3, "scripted", "4294967295 bytes")


def test_a_command_that_never_stops_talking_is_given_up(one_line, monkeypatch):
    monkeypatch.setattr(shell_v2, "MAX_OUTPUT_BYTES", 4 << 20)

    class Talking(ScriptedLink):
        def read(self, deadline):
            return frame(1, b"y" * 65_536)

    with pytest.raises(ProtocolError) as error:
        shell_v2.run(Talking([]), "yes", Deadline(30, "x"))
    one_line(error, 3, "scripted", "more than 4 MiB")


@pytest.mark.parametrize("size", [65_537, 0xFFFFFFFF])
def test_a_block_of_a_file_is_at_most_64_kib(size, one_line):
    link = Endless([b"DATA" + struct.pack("<I", size)])
    with pytest.raises(ProtocolError) as error:
        file_sync.receive(link, "/x", io.BytesIO().write, Deadline(5, "x"))
    one_line(error, 3, "scripted", "/x", f"{size} bytes")


def test_a_refusal_of_many_lines_is_told_in_one(one_line):
    reason = b"no luck\n\x1b[31m" + b"x" * 5000
    link = ScriptedLink([b"FAIL" + struct.pack("<I", len(reason)) + reason])
    with pytest.raises(TransferError) as error:
        file_sync.receive(link, "/x", io.BytesIO().write, Deadline(5, "x"))
    one_line(error, 3, "no luck")
    assert "\x1b" not in str(error.value)
