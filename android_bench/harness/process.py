"""Run a command and hear its lines as they come; here, on this computer.

The harness runs wherever a `Launcher` puts it. Above this seam nothing knows whether that is
this computer, an emulated one or a phone at the end of a cable.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from android_bench.harness.wire import MAX_LINE_BYTES
from pfd_models.errors import DeviceError
from pfd_models.operating_system import OWN_GROUP, kill_group

__all__ = ["Exit", "Launcher", "run_here"]

_KEPT_STDERR = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a command ended.

    Attributes:
        status: Its exit status, negative for a signal; None when it was stopped for taking
            too long or the connection to it was lost.
        stderr: The end of what it wrote there.
    """

    status: int | None
    stderr: str


class Launcher(Protocol):
    """Runs a command where the harness lies."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        on_line: Callable[[str], None],
        quiet_s: float = 0.0,
    ) -> Exit:
        """Run it to its end, giving every line of its standard output to `on_line`.

        Args:
            command: Program and arguments, not a shell's line.
            timeout_s: Patience for the whole run; then it is killed.
            on_line: Called with each line without its newline, as soon as it is complete; what
                it raises ends the command and is raised again.
            quiet_s: For how long it is left alone after its start, where asking for its lines
                would cost the device something.

        Raises:
            DeviceError: The command cannot be started.
        """


def run_here(
    command: Sequence[str],
    *,
    timeout_s: float,
    on_line: Callable[[str], None],
    quiet_s: float = 0.0,
) -> Exit:
    """Run a command on this computer, where waiting for lines costs nothing; see `Launcher`."""
    with tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                **OWN_GROUP,  # so that its children can be stopped with it
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DeviceError(
                f"cannot run {command[0]}: {reason}; build the harness again with "
                "python -m android_bench.native_build"
            ) from error
        in_time = False
        try:
            in_time = _read_lines(process, time.monotonic() + timeout_s, on_line)
        finally:
            _end(process, patience_s=5.0 if in_time else 0.0)
        return Exit(status=process.returncode if in_time else None, stderr=_tail(stderr))


def _read_lines(
    process: subprocess.Popen[bytes], deadline: float, on_line: Callable[[str], None]
) -> bool:
    """Give each line to `on_line` until the pipe is closed; False when the deadline came first."""
    assert process.stdout is not None  # a pipe was asked for
    pipe = process.stdout
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                return False
            chunk = os.read(pipe.fileno(), 1 << 16)
            *lines, pending = (pending + chunk).split(b"\n")
            if not chunk and pending:
                lines.append(pending)  # the writer was cut off in the middle of a line
            if len(pending) > MAX_LINE_BYTES:
                raise DeviceError(
                    f"{process.args[0]!r} wrote {len(pending)} bytes without a line break: "  # type: ignore[index]  # a list
                    "it is no harness; build it again with python -m android_bench.native_build"
                )
            for line in lines:
                on_line(line.decode("utf-8", errors="replace"))
            if not chunk:
                return True


def _end(process: subprocess.Popen[bytes], *, patience_s: float) -> None:
    """Wait for a process that is about to end; then kill it with its children."""
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        kill_group(process)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _tail(file: BinaryIO) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _KEPT_STDERR))
    return file.read().decode("utf-8", errors="replace")
