"""ADB's file sync service, version 1: send and receive one file.

Requests and answers are a four-letter name and 32 bits, little endian, mostly a length. Sending:
``SEND`` with ``path,mode``, ``DATA`` blocks of at most 64 KiB, ``DONE`` with the time; the answer
is ``OKAY`` or ``FAIL`` with a sentence. It may come at any time: a device whose disk is full says
so in the middle, and then stops listening. Receiving: ``RECV`` with the path; ``DATA`` blocks
until ``DONE``, or ``FAIL``.

Source: ``packages/modules/adb/SYNC.TXT`` in AOSP.
"""

from __future__ import annotations

import contextlib
import io
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from android_bench.errors import ConnectionLostError, ProtocolError, TransferError, one_line
from android_bench.transports.streams import Deadline, Link, Reader, Stream

__all__ = ["receive", "send"]

_REQUEST = struct.Struct("<4sI")
_BLOCK = 64 * 1024
# Blocks that are handed to the link in one go; adbd takes packets of up to 1 MiB.
_BATCH = 15
_REASON_BYTES = 4096


def send(
    link: Link,
    local: Path,
    remote: str,
    progress: Callable[[int], None],
    deadline: Deadline,
) -> None:
    """Send a file, calling ``progress`` with the bytes sent so far after each batch.

    Raises:
        ConnectionLostError: The connection ended before the device had all.
        TransferError: The device refused; its own words are in the message.
        ProtocolError: What it answered is no answer to this.
    """
    lost = _lost(link, f"while {local.name} was pushed")
    with _conversation(link, deadline, lost) as stream:
        reader = Reader(stream, deadline, lost)
        target = f"{remote},{stat.S_IFREG | 0o644}".encode()
        stream.write(_REQUEST.pack(b"SEND", len(target)) + target, deadline)
        with local.open("rb") as file:
            _send_blocks(stream, file, progress, deadline)
        stream.write(_REQUEST.pack(b"DONE", int(local.stat().st_mtime) & 0xFFFFFFFF), deadline)
        name, size = _REQUEST.unpack(reader.exactly(_REQUEST.size))
        if name != b"OKAY":
            raise _refused(link, remote, reader, name, size)
        stream.write(_REQUEST.pack(b"QUIT", 0), deadline)


def _send_blocks(
    stream: Stream, file: io.BufferedReader, progress: Callable[[int], None], deadline: Deadline
) -> None:
    """Send until the file ends, or until the device says something: only a refusal comes now."""
    # One buffer for all batches, and the file is read into it: copies cost as much as sending.
    step = _REQUEST.size + _BLOCK
    batch = memoryview(bytearray(_BATCH * step))
    sent = 0
    while not stream.pending():
        filled = 0
        for start in range(0, len(batch), step):
            size = file.readinto(batch[start + _REQUEST.size : start + step])
            if not size:
                break
            _REQUEST.pack_into(batch, start, b"DATA", size)
            filled = start + _REQUEST.size + size
            sent += size
            if size < _BLOCK:
                break
        if not filled:
            return
        stream.write(batch[:filled], deadline)
        progress(sent)


def receive(link: Link, remote: str, write: Callable[[bytes], object], deadline: Deadline) -> None:
    """Receive a file's content.

    Args:
        link: To the device.
        remote: The file there.
        write: Gets each block as it comes.
        deadline: For all of it.

    Raises:
        ConnectionLostError: The connection ended before all had come.
        TransferError: The device refused; its own words are in the message.
        ProtocolError: What came is no answer to this.
    """
    lost = _lost(link, f"while {remote} was pulled")
    with _conversation(link, deadline, lost) as stream:
        reader = Reader(stream, deadline, lost)
        path = remote.encode()
        stream.write(_REQUEST.pack(b"RECV", len(path)) + path, deadline)
        while True:
            name, size = _REQUEST.unpack(reader.exactly(_REQUEST.size))
            if name == b"DONE":
                break
            if name != b"DATA" or size > _BLOCK:
                raise _refused(link, remote, reader, name, size)
            write(reader.exactly(size))
        stream.write(_REQUEST.pack(b"QUIT", 0), deadline)


@contextlib.contextmanager
def _conversation(
    link: Link, deadline: Deadline, lost: Callable[[], ConnectionLostError]
) -> Iterator[Stream]:
    """Talk to the service; a connection that ends meanwhile is told in the file's terms."""
    stream = link.open("sync:", deadline)
    try:
        yield stream
    except ConnectionLostError as error:
        raise lost() from error
    finally:
        stream.close()


def _refused(
    link: Link, remote: str, reader: Reader, name: bytes, size: int
) -> TransferError | ProtocolError:
    if name == b"FAIL":
        reason = reader.exactly(min(size, _REASON_BYTES)).decode(errors="backslashreplace")
        return TransferError(
            f"{link.serial} refused {remote}: {one_line(reason) or 'it gives no reason'}"
        )
    return ProtocolError(
        f"{link.serial} answers for {remote} with {name!r} and {size} bytes, which is none of the "
        f"protocol's: reconnect it, then try again"
    )


def _lost(link: Link, when: str) -> Callable[[], ConnectionLostError]:
    return lambda: ConnectionLostError(
        f"the connection to {link.serial} ended {when}: plug it in again or bring the network "
        f"back, then try again (what arrived in part is not used)"
    )
