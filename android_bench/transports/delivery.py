"""Files on the device appear whole or not at all, and only when they are not there yet.

The walk of a push: the device hashes what stands at the final path, and the same hash ends it;
its free space is asked for; the file is sent to a temporary name beside the final one, hashed
there, made executable when it is a program, and renamed. A push that broke leaves only that
temporary file, which the next push of the same file overwrites.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from android_bench.errors import StorageError, TransferError, one_line
from android_bench.transports import CommandResult, Progress, Pushed
from export.sets.files import output_errors, sha256_file
from pfd_models.errors import DeviceError, InputError

__all__ = ["Collecting", "allowed_s", "collected", "deliver", "free_bytes", "remote_sha256"]
__all__ += ["SPARE_BYTES", "require_runnable"]

_HASH_TIMEOUT_S = 120.0
SPARE_BYTES = 1 << 20
"""Room that must stay on the device beside a file: its system misbehaves on a full disk."""
_SLOWEST_BYTES_PER_S = 1 << 20

Run = Callable[..., CommandResult]


def allowed_s(size_bytes: int) -> float:
    """Return how long a transfer may take: half a minute, and more for large files."""
    return 30.0 + size_bytes / _SLOWEST_BYTES_PER_S


def remote_sha256(run: Run, remote: str) -> str | None:
    """Return the SHA-256 of a file on the device, or None when there is no such file."""
    quoted = shlex.quote(remote)
    result = run(f"[ -f {quoted} ] && sha256sum < {quoted}", timeout_s=_HASH_TIMEOUT_S)
    if result.exit_code == 127:
        raise StorageError(f"the device has no sha256sum: Android 8 or newer is needed ({remote})")
    match = re.match(r"[0-9a-f]{64}\b", result.stdout)
    return match[0] if match and result.exit_code == 0 else None


def deliver(
    run: Run,
    send: Callable[[str, Progress], None],
    local: Path,
    remote: str,
    *,
    executable: bool,
    progress: Progress | None,
) -> Pushed:
    """Put one file on the device; see ``Transport.push``."""
    try:
        size, digest = local.stat().st_size, sha256_file(local)
    except OSError as error:
        raise InputError(
            f"cannot read {local}: {(error.strerror or str(error)).lower()}; name a file to push"
        ) from error
    report = progress or (lambda sent, total: None)
    mode = "755" if executable else "644"
    there = remote_sha256(run, remote) == digest
    if there:
        _checked(run, f"chmod {mode} {shlex.quote(remote)}", remote)
    else:
        _make_room(run, remote, size)
        temporary = posixpath.join(posixpath.dirname(remote), f".{posixpath.basename(remote)}.part")
        try:
            send(temporary, report)
        except (TransferError, OSError) as error:
            _remove(run, temporary)
            _make_room(run, remote, size, cause=error)
            if isinstance(error, TransferError):
                raise
            reason = (error.strerror or str(error)).lower()
            raise TransferError(f"{local.name} was not sent whole ({reason}): try again") from error
        arrived = remote_sha256(run, temporary)
        if arrived != digest:
            _remove(run, temporary)
            raise TransferError(
                f"{local.name} arrived changed (sha256 {arrived} instead of {digest}): "
                f"check cable and storage, then push again"
            )
        place, final = shlex.quote(temporary), shlex.quote(remote)
        _checked(run, f"chmod {mode} {place} && mv -f {place} {final}", remote)
    report(size, size)
    return Pushed(remote=remote, size_bytes=size, sha256=digest, skipped=there)


def _make_room(run: Run, remote: str, size: int, *, cause: Exception | None = None) -> None:
    """Make the folder and require that it takes a file of that size.

    Raises:
        StorageError: The folder cannot be made or written, or has not enough room.
    """
    folder = posixpath.dirname(remote)
    quoted = shlex.quote(folder)
    result = run(f"mkdir -p {quoted} && [ -w {quoted} ] && df -k {quoted}")
    if result.exit_code:
        reason = _last_line(result.stderr) or "not writable"
        raise StorageError(
            f"the device's folder {folder} takes no files: {reason}; choose a folder below "
            f"/data/local/tmp"
        ) from cause
    free = free_bytes(result.stdout)
    if free is not None and free < size + SPARE_BYTES:
        raise StorageError(
            f"no room on the device: {posixpath.basename(remote)} needs "
            f"{size / 1e6:.1f} MB and {folder} has {free / 1e6:.1f} MB free; remove something there"
        ) from cause


def require_runnable(run: Run, folder: str) -> None:
    """Require that programs can be put into a folder and run there.

    Raises:
        StorageError: The folder takes no files, or is mounted so that nothing runs in it.
    """
    _make_room(run, posixpath.join(folder, "x"), 0)
    probe = shlex.quote(posixpath.join(folder, ".pfd-runs"))
    # The kernel looks at the mount before it looks at the content, so a script is enough.
    result = run(
        f"printf 'exit 7\\n' > {probe} && chmod 755 {probe} && {probe}; code=$?; "
        f"rm -f {probe}; exit $code"
    )
    if result.exit_code != 7:
        reason = _last_line(result.stderr) or f"exit code {result.exit_code}"
        raise StorageError(
            f"programs do not run in the device's folder {folder} ({reason}): it may be mounted "
            f"noexec, as /sdcard is; choose a folder below /data/local/tmp"
        )


def free_bytes(df: str) -> int | None:
    """Read the available bytes from ``df -k FOLDER``; its name may stand on a line of its own."""
    fields = " ".join(df.strip().splitlines()[1:]).split()
    # … blocks, used, available, capacity, mount point.
    return _kib(fields[-3]) if len(fields) >= 5 else None


def _kib(digits: str) -> int | None:
    return int(digits) * 1024 if re.fullmatch(r"[0-9]{1,15}", digits) else None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return one_line(lines[-1]) if lines else ""


def _checked(run: Run, command: str, remote: str) -> None:
    result = run(command)
    if result.exit_code:
        raise StorageError(
            f"the device could not put {remote} in place: {_last_line(result.stderr)}; "
            f"choose a folder below /data/local/tmp"
        )


def _remove(run: Run, remote: str) -> None:
    # The connection may be what failed; the next push overwrites the remnant.
    with contextlib.suppress(DeviceError):
        run(f"rm -f {shlex.quote(remote)}")


@dataclass(slots=True, kw_only=True)
class Collecting:
    """A pull under way: where the bytes go, and how many are expected."""

    local: Path
    file: BinaryIO
    size_bytes: int
    _written: int = field(default=0, init=False)

    def write(self, block: bytes) -> None:
        """Take the next bytes.

        Raises:
            OutputError: The disk here is full.
            TransferError: These are more than the file has.
        """
        self._written += len(block)
        if self._written > self.size_bytes:
            raise TransferError(
                f"more comes for {self.local.name} than the file's {self.size_bytes} bytes: it "
                f"may be written to just now, pull again"
            )
        with output_errors(self.local):
            self.file.write(block)


@contextlib.contextmanager
def collected(run: Run, remote: str, local: Path) -> Iterator[Collecting]:
    """Collect a file from the device into a temporary one, check it, and rename it.

    Raises:
        TransferError: The device has no such file, or what came is not what is there.
        OutputError: The file here cannot be written.
    """
    quoted = shlex.quote(remote)
    result = run(f"[ -f {quoted} ] && [ -r {quoted} ] && stat -c %s {quoted}")
    size = result.stdout.strip() if result.exit_code == 0 else ""
    digest = remote_sha256(run, remote) if re.fullmatch(r"[0-9]{1,18}", size) else None
    if digest is None:
        raise TransferError(f"the device has no readable file {remote}: check its name")
    with output_errors(local):
        local.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{local.name}.", dir=local.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield Collecting(local=local, file=file, size_bytes=int(size))
            with output_errors(local):
                file.flush()
                os.fsync(file.fileno())
        arrived = sha256_file(temporary)
        if arrived != digest:
            raise TransferError(
                f"{remote} arrived changed (sha256 {arrived} instead of {digest}): pull again"
            )
        with output_errors(local):
            temporary.chmod(0o644)
            temporary.replace(local)
    finally:
        temporary.unlink(missing_ok=True)
