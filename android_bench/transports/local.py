"""This computer as a device: the same calls, with nothing in between."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from pathlib import Path
from typing import Self

from android_bench.cancellation import NEVER, Cancellation
from android_bench.errors import TransferError
from android_bench.transports import DEFAULT_TIMEOUT_S, CommandResult, Progress, Pushed, delivery
from android_bench.transports.streams import Deadline
from pfd_models.operating_system import OWN_GROUP, kill_group

__all__ = ["LocalTransport"]

_BLOCK = 1 << 20
# Names as Android gives them, so that a profile reads one kind of property.
_ABIS = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64-v8a", "arm64": "arm64-v8a"}


class LocalTransport:
    """This computer."""

    serial = "host"
    kind = "local"

    def __init__(self, *, cancellation: Cancellation = NEVER) -> None:
        self._cancellation = cancellation

    @property
    def cancellation(self) -> Cancellation:
        """What ends its waits early."""
        return self._cancellation

    def cancelled_by(self, cancellation: Cancellation) -> Self:
        """Return this computer with waits that another cancellation ends."""
        return type(self)(cancellation=cancellation)

    def run(self, command: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> CommandResult:
        """Run a shell command; see ``Transport``. All it started ends with the time limit."""
        line = " ".join(command.split())[:60]
        deadline = Deadline(timeout_s, f"a command on this computer ({line})", self._cancellation)
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **OWN_GROUP,
        )
        try:
            stdout, stderr = _outputs(process, deadline)
        except BaseException:
            kill_group(process)
            process.communicate()
            raise
        code = process.returncode
        return CommandResult(
            command=command,
            exit_code=code if code >= 0 else 128 - code,
            stdout_bytes=stdout,
            stderr_bytes=stderr,
        )

    def push(
        self,
        local: Path,
        remote: str,
        *,
        executable: bool = False,
        progress: Progress | None = None,
        timeout_s: float | None = None,
    ) -> Pushed:
        """Copy a file; see ``Transport``."""

        def send(temporary: str, report: Progress) -> None:
            size, sent = local.stat().st_size, 0
            with local.open("rb") as source, open(temporary, "wb") as target:
                while block := source.read(_BLOCK):
                    target.write(block)
                    sent += len(block)
                    report(sent, size)

        return delivery.deliver(
            self.run, send, local, remote, executable=executable, progress=progress
        )

    def pull(self, remote: str, local: Path, *, timeout_s: float | None = None) -> None:
        """Copy a file; see ``Transport``."""
        with delivery.collected(self.run, remote, local) as collecting:
            try:
                with open(remote, "rb") as source:
                    while block := source.read(_BLOCK):
                        collecting.write(block)
            except OSError as error:
                raise TransferError(
                    f"cannot read {remote}: {(error.strerror or str(error)).lower()}"
                ) from error

    def properties(self) -> dict[str, str]:
        """Return what this computer can say of itself under Android's names."""
        machine = platform.machine()
        return {
            "ro.product.manufacturer": platform.system(),
            "ro.product.model": platform.node(),
            "ro.product.cpu.abi": _ABIS.get(machine, machine),
            "ro.build.version.release": platform.release(),
            "ro.soc.model": platform.processor() or machine,
        }

    def wait(self, timeout_s: float) -> None:
        """Return at once: this computer is always there."""

    def close(self) -> None:
        """Nothing to do."""


def _outputs(process: subprocess.Popen[bytes], deadline: Deadline) -> tuple[bytes, bytes]:
    """Return both outputs once it has ended."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=deadline.slice_s())
