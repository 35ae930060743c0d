"""Run a command on a phone, detached, and hear its lines: the `Launcher` of phones.

The command is a detached run on the device, so a pulled cable does not touch it. Here one asks
for what is new, and after an outage goes on asking where one stopped; only time is lost.
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from android_bench.errors import ConnectionLostError, DeviceTimeoutError
from android_bench.harness.process import Exit
from android_bench.transports import Transport, detached
from android_bench.transports.detached import DetachedRun, RunState
from pfd_models.errors import InputError

__all__ = ["RECONNECT_S", "PhoneLauncher", "clear_runs", "patiently"]

RECONNECT_S = 600.0
"""How long a phone may be gone before the bench gives up; what is stored can be resumed."""

# Between two looks at a run; each look runs a shell on the phone, so they get rarer.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
_KEPT_STDERR = 8_000
_KILLED = -9

T = TypeVar("T")


def patiently(transport: Transport, call: Callable[[], T], reconnect_s: float) -> T:
    """Return what a call returns, connecting again as often as the connection is lost under it.

    Args:
        transport: The connection.
        call: Something that may be done twice.
        reconnect_s: How long the phone may be gone.

    Raises:
        DeviceError: It did not come back, or the call failed for another reason.
    """
    deadline = time.monotonic() + reconnect_s
    while True:
        try:
            return call()
        except (ConnectionLostError, DeviceTimeoutError) as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            try:
                transport.wait(left)
            except (ConnectionLostError, DeviceTimeoutError) as gone:
                raise ConnectionLostError(
                    f"{transport.serial} was gone for {reconnect_s:.0f} s ({error}): connect it "
                    "and go on with --resume"
                ) from gone


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneLauncher:
    """Runs commands on a phone; see `launch.Launcher`.

    Attributes:
        transport: To the phone.
        reconnect_s: How long it may be gone in the middle of a run.
    """

    transport: Transport
    reconnect_s: float = RECONNECT_S

    def __call__(
        self, command: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None]
    ) -> Exit:
        """Run a command to its end; the phone keeps nothing of it afterwards."""
        run = self._start(shlex.join(command))
        try:
            return self._follow(run, timeout_s, on_line)
        finally:
            self._patiently(lambda: detached.remove(self.transport, run))

    def _patiently(self, call: Callable[[], T]) -> T:
        return patiently(self.transport, call, self.reconnect_s)

    def _start(self, line: str) -> DetachedRun:
        name, attempts = secrets.token_hex(8), 0

        def start() -> DetachedRun:
            nonlocal attempts
            attempts += 1
            try:
                return detached.start(self.transport, line, run_id=name)
            except InputError:
                if attempts == 1:
                    raise
                # The connection was lost after it had started.
                return detached.attach(self.transport, name)

        return self._patiently(start)

    def _follow(self, run: DetachedRun, timeout_s: float, on_line: Callable[[str], None]) -> Exit:
        """Ask for new lines until the run has ended; outages do not count as its time."""
        deadline = time.monotonic() + timeout_s
        out_bytes, err_bytes, pending, stderr = 0, 0, b"", b""
        pause_s = _FIRST_PAUSE_S
        while True:
            asked = time.monotonic()
            look = partial(
                detached.poll, self.transport, run, stdout_from=out_bytes, stderr_from=err_bytes
            )
            status = self._patiently(look)
            deadline += max(0.0, time.monotonic() - asked - _LONGEST_PAUSE_S)
            out_bytes += len(status.stdout)
            err_bytes += len(status.stderr)
            stderr = (stderr + status.stderr)[-_KEPT_STDERR:]
            *lines, pending = (pending + status.stdout).split(b"\n")
            if status.complete and pending:
                lines.append(pending)  # cut off in the middle of a line
            for text in lines:
                on_line(text.decode(errors="replace"))
            if status.complete:
                said = stderr.decode(errors="replace")
                if status.state is RunState.LOST:
                    return Exit(status=_KILLED, stderr=said)
                code = status.exit_code or 0
                return Exit(status=code if code <= 128 else 128 - code, stderr=said)
            if time.monotonic() > deadline:
                return Exit(status=None, stderr=stderr.decode(errors="replace"))
            if status.state is RunState.RUNNING:
                time.sleep(pause_s)
                pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)


def clear_runs(transport: Transport) -> None:
    """End and remove what a bench that died left on the phone; the caller holds its lock.

    Raises:
        DeviceError: The phone does not answer.
    """
    for name in detached.runs(transport):
        detached.remove(transport, detached.attach(transport, name))
