"""A phone behind either ADB link, as a ``Transport``."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Self

from android_bench.cancellation import NEVER, Cancellation
from android_bench.errors import ConnectionLostError, DeviceTimeoutError, UnauthorizedError
from android_bench.transports import (
    DEFAULT_TIMEOUT_S,
    CommandResult,
    Progress,
    Pushed,
    delivery,
    file_sync,
    shell_v2,
)
from android_bench.transports.streams import Deadline, Link

__all__ = ["AdbTransport", "parse_properties"]

_RETRY_PAUSE_S = 0.2
_TRY_S = 5.0


class AdbTransport:
    """A phone; one conversation at a time, from whichever thread."""

    def __init__(
        self,
        link: Link,
        *,
        cancellation: Cancellation = NEVER,
        lock: threading.RLock | None = None,
    ) -> None:
        self._link = link
        self._cancellation = cancellation
        self._lock = lock or threading.RLock()

    @property
    def serial(self) -> str:
        """What the user calls the device."""
        return self._link.serial

    @property
    def kind(self) -> str:
        """Which link it is."""
        return self._link.kind

    @property
    def cancellation(self) -> Cancellation:
        """What ends its waits early."""
        return self._cancellation

    def cancelled_by(self, cancellation: Cancellation) -> Self:
        """Return the same connection with waits that another cancellation ends."""
        return type(self)(self._link, cancellation=cancellation, lock=self._lock)

    def run(self, command: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> CommandResult:
        """Run a shell command; see ``Transport``."""
        deadline = self._deadline(timeout_s, f"a command on {self.serial} ({_shortened(command)})")
        with self._lock:
            return shell_v2.run(self._link, command, deadline)

    def push(
        self,
        local: Path,
        remote: str,
        *,
        executable: bool = False,
        progress: Progress | None = None,
        timeout_s: float | None = None,
    ) -> Pushed:
        """Put a file on the device; see ``Transport``."""

        def send(temporary: str, report: Progress) -> None:
            size = local.stat().st_size
            limit = timeout_s if timeout_s is not None else delivery.allowed_s(size)
            deadline = self._deadline(limit, f"pushing {local.name} to {self.serial}")
            file_sync.send(self._link, local, temporary, lambda sent: report(sent, size), deadline)

        with self._lock:
            return delivery.deliver(
                self.run, send, local, remote, executable=executable, progress=progress
            )

    def pull(self, remote: str, local: Path, *, timeout_s: float | None = None) -> None:
        """Fetch a file from the device; see ``Transport``."""
        with self._lock, delivery.collected(self.run, remote, local) as collecting:
            size = collecting.size_bytes
            limit = timeout_s if timeout_s is not None else delivery.allowed_s(size)
            deadline = self._deadline(limit, f"pulling {remote} from {self.serial}")
            file_sync.receive(self._link, remote, collecting.write, deadline)

    def properties(self) -> dict[str, str]:
        """Return the device's system properties by name."""
        return parse_properties(self.run("getprop").stdout)

    def wait(self, timeout_s: float) -> None:
        """Return as soon as the device answers; see ``Transport``.

        Raises:
            UnauthorizedError: It answers, and wants a tap on its screen.
            DeviceTimeoutError: It does not answer in time; the last reason is in the message.
        """
        end = time.monotonic() + timeout_s
        while True:
            try:
                self.run("true", timeout_s=max(0.1, min(end - time.monotonic(), _TRY_S)))
                return
            except UnauthorizedError:
                raise
            except (ConnectionLostError, DeviceTimeoutError) as error:
                left = end - time.monotonic()
                if left <= _RETRY_PAUSE_S:
                    raise DeviceTimeoutError(
                        f"{self.serial} did not come back within {timeout_s:g} s: {error}"
                    ) from error
            self._cancellation.sleep(_RETRY_PAUSE_S)
            with self._lock:
                self._link.recover(self._deadline(left, f"bringing {self.serial} back"))

    def close(self) -> None:
        """End the connection; calling again does nothing."""
        self._link.close()

    def _deadline(self, seconds: float, waiting_for: str) -> Deadline:
        return Deadline(seconds, waiting_for, self._cancellation)


def parse_properties(text: str) -> dict[str, str]:
    """Read what ``getprop`` prints; a value may hold brackets and line breaks.

    A value that contains a line which itself looks like a property ends there: getprop's output
    cannot tell the two apart. Such a value cannot be set without root.
    """
    starts = list(re.finditer(r"^\[([^\]\n]+)\]: \[", text, re.MULTILINE))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    properties = {}
    for match, end in zip(starts, ends, strict=False):
        properties[match[1]] = text[match.end() : end].rstrip("\r\n").removesuffix("]")
    return properties


def _shortened(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 60 else line[:57] + "..."
