"""Run a command on a phone, detached, and hear its lines: the `Launcher` of phones.

The command is a detached run on the device, so a pulled cable does not touch it. Here one asks
for what is new, and after an outage goes on asking where one stopped; only time is lost. Every
wait ends within a second when the transport's `Cancellation` says so, or on Ctrl-C.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from android_bench.cancellation import NEVER
from android_bench.errors import ConnectionLostError, DeviceTimeoutError, ProtocolError
from android_bench.harness.process import Exit
from android_bench.transports import Transport, detached
from android_bench.transports.detached import DetachedRun, RunState
from pfd_models.errors import DeviceError, InputError

__all__ = [
    "FAREWELL_S",
    "RECONNECT_S",
    "PhoneLauncher",
    "clear_runs",
    "closing_s",
    "with_reconnect",
]

RECONNECT_S = 600.0
"""How long a phone may be gone before the bench gives up; what is stored can be resumed."""

FAREWELL_S = 1.0
"""How long a phone is given to tidy up when the user wants to stop; it may be gone."""

_CLOSING_S = 5.0

# Between two looks at a run; each look runs a shell on the phone, so they get rarer.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
_KEEP_ALIVE_S = 30.0
_KEPT_STDERR = 8_000
_KILLED = -9
# Of the harness's lines, those with samples and operators are the longest; a tenth of this.
_LONGEST_LINE_BYTES = 16 << 20

T = TypeVar("T")


def _do_nothing() -> None:
    """Keep nothing alive."""


def closing_s(transport: Transport) -> float:
    """Return how long a phone is given to tidy up: little when the user wants to stop."""
    return FAREWELL_S if transport.cancellation.is_cancelled else _CLOSING_S


def with_reconnect(transport: Transport, call: Callable[[], T], reconnect_s: float) -> T:
    """Return what a call returns, connecting again as often as the connection is lost under it.

    Args:
        transport: The connection; its cancellation ends the wait.
        call: Something that may be done twice.
        reconnect_s: How long the phone may be gone.

    Raises:
        DeviceError: It did not come back, or the call failed for another reason.
        Cancelled: The transport's cancellation ended it.
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
    """Runs commands on a phone; see `harness.process.Launcher`.

    Attributes:
        transport: To the phone; its cancellation ends a run.
        reconnect_s: How long it may be gone in the middle of a run.
        keep_alive: Called every half minute while a run goes on: tells a lock on the phone, or
            what watches over its settings, that this host lives.
    """

    transport: Transport
    reconnect_s: float = RECONNECT_S
    keep_alive: Callable[[], None] = _do_nothing

    def __call__(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        on_line: Callable[[str], None],
        quiet_s: float = 0.0,
    ) -> Exit:
        """Run a command to its end; the phone keeps nothing of it afterwards."""
        run = self._start(shlex.join(command))
        try:
            self.transport.cancellation.sleep(quiet_s)  # each look runs a shell on the phone
            ended = self._follow(run, timeout_s - quiet_s, on_line)
        except BaseException:
            # Once and shortly: the phone may be gone, and the next bench clears what is left.
            with contextlib.suppress(DeviceError):
                farewell = self.transport.cancelled_by(NEVER)
                detached.remove(farewell, run, timeout_s=FAREWELL_S)
            raise
        self._with_reconnect(lambda: detached.remove(self.transport, run))
        return ended

    def _with_reconnect(self, call: Callable[[], T]) -> T:
        return with_reconnect(self.transport, call, self.reconnect_s)

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

        return self._with_reconnect(start)

    def _follow(self, run: DetachedRun, timeout_s: float, on_line: Callable[[str], None]) -> Exit:
        """Ask for new lines until the run has ended; outages do not count as its time."""
        deadline = time.monotonic() + timeout_s
        out_bytes, err_bytes, pending, stderr = 0, 0, b"", b""
        pause_s, told = _FIRST_PAUSE_S, time.monotonic()
        while True:
            asked = time.monotonic()
            look = partial(
                detached.poll, self.transport, run, stdout_from=out_bytes, stderr_from=err_bytes
            )
            status = self._with_reconnect(look)
            if time.monotonic() - told > _KEEP_ALIVE_S:
                self._with_reconnect(self.keep_alive)
                told = time.monotonic()
            deadline += max(0.0, time.monotonic() - asked - _LONGEST_PAUSE_S)
            out_bytes += len(status.stdout)
            err_bytes += len(status.stderr)
            stderr = (stderr + status.stderr)[-_KEPT_STDERR:]
            *lines, pending = (pending + status.stdout).split(b"\n")
            if len(pending) > _LONGEST_LINE_BYTES:
                raise ProtocolError(
                    f"a program on {self.transport.serial} writes a line that does not end: build "
                    "the harness again, and let nothing else write to its standard output"
                )
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
                self.transport.cancellation.sleep(pause_s)
                pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)


def clear_runs(transport: Transport) -> None:
    """End and remove what a bench that died left on the phone; the caller holds its lock.

    Raises:
        DeviceError: The phone does not answer.
    """
    for name in detached.runs(transport):
        detached.remove(transport, detached.attach(transport, name))
