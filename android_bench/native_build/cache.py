"""The folder for what can be made again: each thing in a folder of its own, whole or not there.

Whoever takes a thing from the cache checks that it is whole. Files go from caches: people make
room, and cleaners of home folders remove what was not read for long and leave the rest.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from export.sets.files import output_errors
from pfd_models.operating_system import lock_file

__all__ = ["cache_folder", "make_alone", "replace_folder"]

_TEMPORARY = ".making-"


def cache_folder() -> Path:
    """Return the folder for what can be made again: PFD_CACHE_DIR, else ~/.cache/pfd-mobile."""
    return Path(os.environ.get("PFD_CACHE_DIR") or Path.home() / ".cache" / "pfd-mobile")


@contextlib.contextmanager
def make_alone(folder: Path) -> Iterator[Path]:
    """Give a temporary folder inside `folder` to make one thing in, to one process at a time.

    The others wait, and should look again whether the thing is there by then. The kernel frees
    the lock of a process that was killed; what such a process left is removed here.

    Raises:
        OutputError: The folder cannot be written or the disk is full.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            lock_file(lock.fileno())
            for left in folder.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=_TEMPORARY) as temporary:
                yield Path(temporary)


def replace_folder(made: Path, place: Path) -> None:
    """Put a folder in its place; what is there is not whole and goes. For use in `make_alone`."""
    if place.is_dir():
        shutil.rmtree(place)
    made.rename(place)
