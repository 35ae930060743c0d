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
import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from android_bench.errors import StorageError, TransferError
from android_bench.transports import CommandResult, Progress, Pushed
from export.sets.files import output_errors, sha256_file
from pfd_models.errors import DeviceError, InputError

__all__ = ["Collecting", "allowed_s", "collected", "deliver", "remote_sha256", "require_runnable"]

_HASH_TIMEOUT_S = 120.0
# Room that must stay on the device beside the file: its system misbehaves on a full disk.
_SPARE_BYTES = 1 << 20
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
    digest = result.stdout.split(" ", 1)[0].strip()
    return digest if result.exit_code == 0 and len(digest) == 64 else None


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
        except TransferError as error:
            _remove(run, temporary)
            _make_room(run, remote, size, cause=error)
            raise
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
        words = result.stderr.strip().splitlines()
        reason = words[-1] if words else "not writable"
        raise StorageError(
            f"the device's folder {folder} takes no files: {reason}; choose a folder below "
            f"/data/local/tmp"
        ) from cause
    free = _free_bytes(result.stdout)
    if free is not None and free < size + _SPARE_BYTES:
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
        reason = result.stderr.strip().splitlines()
        raise StorageError(
            f"programs do not run in the device's folder {folder} "
            f"({reason[-1] if reason else f'exit code {result.exit_code}'}): it may be mounted "
            f"noexec, as /sdcard is; choose a folder below /data/local/tmp"
        )


def _free_bytes(df: str) -> int | None:
    """Read the available bytes from ``df -k FOLDER``; its name may stand on a line of its own."""
    fields = " ".join(df.strip().splitlines()[1:]).split()
    # … blocks, used, available, capacity, mount point.
    return int(fields[-3]) * 1024 if len(fields) >= 5 and fields[-3].isdigit() else None


def _checked(run: Run, command: str, remote: str) -> None:
    result = run(command)
    if result.exit_code:
        raise StorageError(
            f"the device could not put {remote} in place: {result.stderr.strip()}; "
            f"choose a folder below /data/local/tmp"
        )


def _remove(run: Run, remote: str) -> None:
    # The connection may be what failed; the next push overwrites the remnant.
    with contextlib.suppress(DeviceError):
        run(f"rm -f {shlex.quote(remote)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """A pull under way: where the bytes go, and how many are expected."""

    file: BinaryIO
    size_bytes: int


@contextlib.contextmanager
def collected(run: Run, remote: str, local: Path) -> Iterator[Collecting]:
    """Collect a file from the device into a temporary one, check it, and rename it.

    Raises:
        TransferError: The device has no such file, or what came is not what is there.
    """
    quoted = shlex.quote(remote)
    result = run(f"[ -f {quoted} ] && [ -r {quoted} ] && stat -c %s {quoted}")
    digest = remote_sha256(run, remote) if result.exit_code == 0 else None
    if digest is None:
        raise TransferError(f"the device has no readable file {remote}: check its name")
    with output_errors(local):
        local.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{local.name}.", dir=local.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield Collecting(file=file, size_bytes=int(result.stdout))
            file.flush()
            os.fsync(file.fileno())
        arrived = sha256_file(temporary)
        if arrived != digest:
            raise TransferError(
                f"{remote} arrived changed (sha256 {arrived} instead of {digest}): pull again"
            )
        temporary.chmod(0o644)
        temporary.replace(local)
    finally:
        temporary.unlink(missing_ok=True)
