"""How the bench reaches a device: run, push, pull, properties, wait, close.

Above this seam nothing knows about ADB; below it live

    adb_shell.py    phones on USB or at HOST:PORT, directly, without an adb program
    adb_server.py   phones that the platform adb's server owns, here or on another computer
    local.py        this computer

and ``devices/phone/choice.py`` picks one when the user names none. ``detached.py`` keeps a run
going on the device while nobody is connected; it is made of this seam's calls only.

Every wait ends early when the transport's `Cancellation` says so. What must be done on the way
out (a lock given back, a setting restored) is done through ``transport.cancelled_by(NEVER)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from android_bench.cancellation import Cancellation

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "MAX_OUTPUT_BYTES",
    "CommandResult",
    "Progress",
    "Pushed",
    "Transport",
]

DEFAULT_TIMEOUT_S = 30.0
MAX_OUTPUT_BYTES = 64 << 20
"""Of one command, both outputs together: what it says is held in memory."""

# Called with the bytes sent so far and the bytes in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What a command on the device left behind.

    Attributes:
        command: As it was given.
        exit_code: Its own; 128 + N when signal N ended it.
        stdout_bytes: As they came.
        stderr_bytes: As they came, apart from standard output.
    """

    command: str
    exit_code: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        """Standard output as text; bytes that are not UTF-8 are shown escaped."""
        return self.stdout_bytes.decode(errors="backslashreplace")

    @property
    def stderr(self) -> str:
        """Standard error as text; bytes that are not UTF-8 are shown escaped."""
        return self.stderr_bytes.decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did.

    Attributes:
        remote: The final path.
        size_bytes: Of the file.
        sha256: Of the file, checked on the device.
        skipped: Whether the very same file was there already and nothing was sent.
    """

    remote: str
    size_bytes: int
    sha256: str
    skipped: bool


class Transport(Protocol):
    """A device that takes commands and files.

    Every call has a time limit and raises a subclass of ``DeviceError``: ``ConnectionLostError``
    when the connection ended, after which the next call or ``wait`` makes a new one;
    ``DeviceTimeoutError`` when the limit passed; ``ProtocolError`` when it answers nonsense. A call
    that is cancelled raises ``Cancelled``, and the next one makes a new connection.
    """

    @property
    def serial(self) -> str:
        """What the user calls the device."""

    @property
    def kind(self) -> str:
        """Which implementation this is: ``adb-shell``, ``adb-server`` or ``local``."""

    @property
    def cancellation(self) -> Cancellation:
        """What ends its waits early."""

    def cancelled_by(self, cancellation: Cancellation) -> Self:
        """Return the same connection with waits that another cancellation ends."""

    def run(self, command: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> CommandResult:
        """Run a shell command and return its exit code and output; a failure does not raise.

        Raises:
            ProtocolError: It says more than `MAX_OUTPUT_BYTES`.
        """

    def push(
        self,
        local: Path,
        remote: str,
        *,
        executable: bool = False,
        progress: Progress | None = None,
        timeout_s: float | None = None,
    ) -> Pushed:
        """Put a file on the device, whole or not at all, unless it is there already.

        Raises:
            InputError: The local file cannot be read.
            StorageError: The device has no room, or the folder takes no files.
            TransferError: The file on the device is not the one that was sent.
        """

    def pull(self, remote: str, local: Path, *, timeout_s: float | None = None) -> None:
        """Fetch a file from the device, whole or not at all.

        Raises:
            TransferError: The device has no such file, or it did not arrive as it is there.
        """

    def properties(self) -> dict[str, str]:
        """Return the device's system properties by name."""

    def wait(self, timeout_s: float) -> None:
        """Return as soon as the device answers, connecting again as often as needed."""

    def close(self) -> None:
        """End the connection; calling again does nothing."""
