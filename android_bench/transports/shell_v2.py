"""ADB's shell service, version 2: standard output, standard error and exit code apart.

The service ``shell,v2,raw:COMMAND`` speaks in frames of one byte that says what the frame is,
the length of its content as 32 bits, little endian, and the content. Android 7 and newer.

Source: ``packages/modules/adb/shell_protocol.h`` in AOSP (identifiers) and
``docs/dev/services.md`` beside it (the service's name).
"""

from __future__ import annotations

import struct

from android_bench.errors import ConnectionLostError
from android_bench.transports import CommandResult
from android_bench.transports.streams import Deadline, Link, Reader

__all__ = ["run"]

_STDOUT = 1
_STDERR = 2
_EXIT = 3
_CLOSE_STDIN = 4
_HEADER = struct.Struct("<BI")


def run(link: Link, command: str, deadline: Deadline) -> CommandResult:
    """Run a command and collect what it says until its exit code comes.

    Raises:
        ConnectionLostError: The stream ended without an exit code.
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
            content = reader.exactly(size)
            if kind == _EXIT:
                break
            if kind in output:
                output[kind] += content
    finally:
        stream.close()
    return CommandResult(
        command=command,
        exit_code=content[0],
        stdout_bytes=bytes(output[_STDOUT]),
        stderr_bytes=bytes(output[_STDERR]),
    )
