"""This computer as a device: the same calls, with nothing in between."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
from pathlib import Path

from android_bench.errors import DeviceTimeoutError
from android_bench.transports import DEFAULT_TIMEOUT_S, CommandResult, Progress, Pushed, delivery

__all__ = ["LocalTransport"]

_BLOCK = 1 << 20
# Names as Android gives them, so that a profile reads one kind of property.
_ABIS = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64-v8a", "arm64": "arm64-v8a"}


class LocalTransport:
    """This computer."""

    serial = "host"
    kind = "local"

    def run(self, command: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> CommandResult:
        """Run a shell command; see ``Transport``. All it started ends with the time limit."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            line = " ".join(command.split())[:60]
            raise DeviceTimeoutError(
                f"a command on this computer ({line}) took more than {timeout_s:g} s: "
                f"allow more time"
            ) from error
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
        with (
            delivery.collected(self.run, remote, local) as collecting,
            open(remote, "rb") as source,
        ):
            shutil.copyfileobj(source, collecting.file, _BLOCK)

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
