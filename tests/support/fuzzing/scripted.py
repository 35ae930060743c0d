"""Devices, servers and connections that say what they are given, and then nothing more."""

from collections.abc import Iterable

from android_bench.cancellation import NEVER
from android_bench.transports import CommandResult
from android_bench.transports.adb import parse_properties

__all__ = ["ReplayTransport", "ScriptedConnection", "ScriptedLink", "ScriptedPipe"]


class _Pieces:
    """Bytes in pieces, of which at most so many are taken at once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._pieces.reverse()

    def take(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop()
        if len(piece) > size:
            self._pieces.append(piece[size:])
        return piece[:size]


class ScriptedLink:
    """A link to a device, and the only stream on it."""

    serial = "scripted"
    kind = "scripted"

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = _Pieces(pieces)
        self.written = b""
        self.closed = False
        self.service = ""

    def open(self, service, deadline):
        self.service = service
        return self

    def write(self, data, deadline) -> None:
        self.written += bytes(data)

    def read(self, deadline) -> bytes:
        return self._pieces.take(1 << 20)

    def pending(self) -> bool:
        return False

    def recover(self, deadline) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class ScriptedConnection:
    """The part of a socket that talking to an adb server needs."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = _Pieces(pieces)

    def send(self, data) -> int:
        return len(data)

    def recv(self, size: int) -> bytes:
        return self._pieces.take(size)


class ScriptedPipe:
    """A pipe to an adbd."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = _Pieces(pieces)

    def connect(self, deadline) -> None:
        pass

    def read(self, size: int, deadline) -> bytes:
        data = self._pieces.take(size)
        if not data:
            raise ConnectionResetError("the end")
        return data

    def write(self, data, deadline) -> None:
        pass

    def close(self) -> None:
        pass


class ReplayTransport:
    """A device that gives the same answer to every command."""

    serial = "replay"
    kind = "replay"
    cancellation = NEVER

    def __init__(self, stdout: bytes, *, stderr: bytes = b"", exit_code: int = 0) -> None:
        self._answer = {"exit_code": exit_code, "stdout_bytes": stdout, "stderr_bytes": stderr}

    def cancelled_by(self, cancellation):
        return self

    def run(self, command: str, *, timeout_s: float = 0.0) -> CommandResult:
        return CommandResult(command=command, **self._answer)

    def properties(self) -> dict[str, str]:
        return parse_properties(self.run("getprop").stdout)

    def close(self) -> None:
        pass
