"""What both ADB links have in common: streams to named services, and how long to wait.

A link opens a stream to one of adbd's services (``shell,v2,raw:…``, ``sync:``); what is said on
it is the business of ``shell_v2.py`` and ``file_sync.py``, the same for both links.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from android_bench.cancellation import NEVER, Cancellation
from android_bench.errors import DeviceTimeoutError

__all__ = ["Deadline", "Link", "Reader", "Stream"]


# How often a wait looks whether it was cancelled.
_SLICE_S = 0.25


class Deadline:
    """A moment after which waiting is over, the sentence that says for what, and who may end it.

    Attributes:
        cancellation: Ends the wait early.
    """

    def __init__(
        self, seconds: float, waiting_for: str, cancellation: Cancellation = NEVER
    ) -> None:
        self.cancellation = cancellation
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._waiting_for = waiting_for

    def left_s(self) -> float:
        """Return the seconds left, more than zero.

        Raises:
            DeviceTimeoutError: None are left.
            Cancelled: The wait was cancelled.
        """
        self.cancellation.raise_if_cancelled()
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def slice_s(self) -> float:
        """Return how long to wait before asking again; raises as `left_s`."""
        return min(self.left_s(), _SLICE_S)

    def within(self, seconds: float, waiting_for: str) -> Deadline:
        """Return a deadline for a part of the wait, at most that long."""
        return Deadline(min(seconds, self.left_s()), waiting_for, self.cancellation)

    def passed(self) -> DeviceTimeoutError:
        """Return the error that says what did not happen in time."""
        return DeviceTimeoutError(
            f"{self._waiting_for} took more than {self._seconds:g} s: see whether the device is "
            f"awake and connected, or allow more time"
        )


class Stream(Protocol):
    """One open conversation with a service of adbd."""

    def write(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Send all of the data."""

    def read(self, deadline: Deadline) -> bytes:
        """Return the next bytes, empty when the service has closed the stream."""

    def pending(self) -> bool:
        """Return whether the service has said something that was not read yet."""

    def close(self) -> None:
        """End the conversation; never raises."""


class Link(Protocol):
    """A connection to one device's adbd."""

    serial: str
    kind: str

    def open(self, service: str, deadline: Deadline) -> Stream:
        """Open a stream, connecting first when not connected.

        Raises:
            ConnectionLostError: The device cannot be reached.
            UnauthorizedError: It does not know this computer's key.
            DeviceTimeoutError: It does not answer.
        """

    def recover(self, deadline: Deadline) -> None:
        """Do what may bring a lost device back; called between attempts, never raises."""

    def close(self) -> None:
        """End the connection."""


class Reader:
    """Reads exact counts of bytes from a stream that delivers any."""

    def __init__(self, stream: Stream, deadline: Deadline, lost: Callable[[], Exception]) -> None:
        self._stream = stream
        self._deadline = deadline
        self._lost = lost
        self._buffer = b""
        self._position = 0

    def exactly(self, size: int) -> bytes:
        """Return the next ``size`` bytes; raises what ``lost`` makes when the stream ends."""
        # A position instead of a shrinking buffer: blocks are small beside what one read brings.
        left = len(self._buffer) - self._position
        if left < size:
            parts = [self._buffer[self._position :]]
            while left < size:
                more = self._stream.read(self._deadline)
                if not more:
                    raise self._lost()
                parts.append(more)
                left += len(more)
            self._buffer, self._position = b"".join(parts), 0
        start, self._position = self._position, self._position + size
        return self._buffer[start : self._position]
