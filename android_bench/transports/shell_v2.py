"""ADB's shell service, version 2: standard output, standard error and exit code apart.

The service ``shell,v2,raw:COMMAND`` speaks in frames of one byte that says what the frame is,
the length of its content as 32 bits, little endian, and the content. Android 7 and newer.

What a frame claims is checked before it is read: adbd puts at most 1 MiB into one, and what a
command says is held in memory, so it has a limit too.

Source: ``packages/modules/adb/shell_protocol.h`` in AOSP (identifiers) and
``docs/dev/services.md`` beside it (the service's name).
"""

from __future__ import annotations

import struct

from android_bench.errors import ConnectionLostError, ProtocolError
from android_bench.transports import MAX_OUTPUT_BYTES, CommandResult
from android_bench.transports.streams import Deadline, Link, Reader

__all__ = ["run"]

_STDOUT = 1
_STDERR = 2
_EXIT = 3
_CLOSE_STDIN = 4
_HEADER = struct.Struct("<BI")
_MAX_FRAME_BYTES = 1 << 20


def run(link: Link, command: str, deadline: Deadline) -> CommandResult:
    """Run a command and collect what it says until its exit code comes.

    Raises:
        ConnectionLostError: The stream ended without an exit code.
        ProtocolError: What came are no such frames, or more than is allowed.
    """
    output: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray()}

    def lost() -> ConnectionLostError:
        return ConnectionLostError(
            f"the connection to {link.serial} ended while a command ran: "
            f"plug it in again or bring the network back, then try again"
        )

    stream = link.open(f"shell,v2,raw:{command}", deadline)
    try:
        # A command that reads its input must see its end instead of waiting for ever.
        stream.write(_HEADER.pack(_CLOSE_STDIN, 0), deadline)
        reader = Reader(stream, deadline, lost)
        while True:
            kind, size = _HEADER.unpack(reader.exactly(_HEADER.size))
            if size > _MAX_FRAME_BYTES or (kind == _EXIT and size != 1):
                raise ProtocolError(
                    f"{link.serial} answers a command with a frame of kind {kind} and {size} "
                    f"bytes, which the shell protocol does not allow: reconnect it, then try again"
                )
            content = reader.exactly(size)
            if kind == _EXIT:
                break
            if kind in output:
                output[kind] += content
            if sum(map(len, output.values())) > MAX_OUTPUT_BYTES:
                raise ProtocolError(
                    f"a command on {link.serial} says more than {MAX_OUTPUT_BYTES >> 20} MiB: "
                    f"give one that says less, or fetch a file"
                )
    finally:
        stream.close()
    return CommandResult(
        command=command,
        exit_code=content[0],
        stdout_bytes=bytes(output[_STDOUT]),
        stderr_bytes=bytes(output[_STDERR]),
    )
