"""`build.json`: what a build made. It lies beside the files, and they are held to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.sets.files import atomic_write, sha256_file
from pfd_models.errors import DeviceError, PfdError
from pfd_models.plain_data import decode_json, to_plain

__all__ = [
    "PROGRAMS",
    "RECORD_VERSION",
    "BuildRecord",
    "BundleFile",
    "BundleRecord",
    "read_whole_build",
]

PROGRAMS = ("pfd_bench", "pfd_bare_loop")

RECORD_VERSION = 2
"""Of `build.json`. It is part of the cache's key, so versions that differ do not meet."""

_NAME = "build.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """One file of a build; for a phone, one file to push.

    Attributes:
        file: Its name.
        size_bytes: Of the whole file.
        sha256: Of the whole file.
        origin: The package it comes from.
        licence: SPDX expression.
        executable: Whether it must be executable where it runs.
    """

    file: str
    size_bytes: int
    sha256: str
    origin: str
    licence: str
    executable: bool

    def is_whole(self, folder: Path) -> bool:
        """Tell whether the file lies in a folder, and not elsewhere, as it was made."""
        path = folder / self.file
        return (
            path.parent == folder
            and path.is_file()
            and path.stat().st_size == self.size_bytes
            and (os.access(path, os.X_OK) or not self.executable)
            and sha256_file(path) == self.sha256
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRecord:
    """All files of a build that belong together.

    Attributes:
        loader: The file that starts the program; empty where it starts by itself.
        files: By name.
        size_bytes: Of all files together.
        licence_texts: Package to a file beside them, which need not be pushed.
    """

    loader: str
    files: tuple[BundleFile, ...]
    size_bytes: int
    licence_texts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """What a build made, and of what.

    Attributes:
        target: As `build_harness` takes it.
        version: What the harness answers and the host compares.
        compiler: The first line of its ``--version``.
        runtimes: Package to version; empty where it was not there.
        left_out: A line for each engine that could not be built.
        bundle: The files.
    """

    target: str
    version: str
    compiler: str
    runtimes: Mapping[str, str]
    left_out: tuple[str, ...]
    bundle: BundleRecord

    def save(self, folder: Path) -> None:
        """Write the record beside the files.

        Raises:
            OutputError: The folder cannot be written.
        """
        atomic_write(folder / _NAME, json.dumps(to_plain(self), indent=2) + "\n")


def read_whole_build(folder: Path) -> BuildRecord | None:
    """Return the record of a build that can be used, or None where it must be made again.

    That is so when the record is absent, damaged or of another version, or when any file that it
    lists is gone, cannot be executed or is not what it was.
    """
    path = folder / _NAME
    try:
        record = decode_json(BuildRecord, path.read_bytes(), what=str(path), error=DeviceError)
        return record if _is_whole(record.bundle, folder) else None
    except (OSError, PfdError):
        return None


def _is_whole(bundle: BundleRecord, folder: Path) -> bool:
    names = {file.file for file in bundle.files}
    return (
        names.issuperset({*PROGRAMS, bundle.loader or PROGRAMS[0]})
        and all(file.is_whole(folder) for file in bundle.files)
        and all((folder / text).is_file() for text in bundle.licence_texts.values())
    )
