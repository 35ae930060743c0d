"""The only way a file appears: a temporary name in the same folder, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pfd_models.errors import OutputError

__all__ = ["atomic_write", "output_errors"]


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an OSError raised inside into one line that names the place and the remedy.

    Raises:
        OutputError: The path cannot be written or the disk is full.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(
            f"cannot write {path}: {reason}; choose another place or make room"
        ) from error


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write a whole file or none: readers see the old content or the new, never a part.

    Args:
        path: The final name; its folder is made when missing.
        data: The content; text is written as UTF-8.

    Raises:
        OutputError: The folder cannot be written or the disk is full. Nothing is left behind.
    """
    payload = data.encode() if isinstance(data, str) else data
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
