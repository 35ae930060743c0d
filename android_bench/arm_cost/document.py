"""Counts as a JSON document, by docs/result-schema.md: what ``--json`` writes and a gate reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from android_bench.records import ArmCount, ArtifactRecord
from android_bench.store import SCHEMA_VERSION
from pfd_models.errors import InputError
from pfd_models.files import atomic_write
from pfd_models.plain_data import decode_json, to_plain

__all__ = ["CostDocument", "CountedFile", "read_document", "read_written", "write_document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedFile:
    """One file and what it executes.

    Attributes:
        file: Its name.
        artifact: What its manifest says; None where there is none beside it.
        count: What was counted.
    """

    file: str
    artifact: ArtifactRecord | None
    count: ArmCount

    @property
    def label(self) -> str:
        """Return what to call it in a table: the variant where it is known."""
        return (self.artifact.variant if self.artifact else "") or self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class CostDocument:
    """The document.

    Attributes:
        schema_version: Of docs/result-schema.md.
        files: In the order given.
    """

    schema_version: int
    files: tuple[CountedFile, ...]


def write_document(path: Path, files: Sequence[CountedFile]) -> None:
    """Write the document, with sums that readers want beside each count.

    Raises:
        OutputError: The place cannot be written.
    """
    plain = {"schema_version": SCHEMA_VERSION, "files": [_file(file) for file in files]}
    atomic_write(path, json.dumps(plain, indent=1, allow_nan=False) + "\n")


def _file(file: CountedFile) -> dict[str, Any]:
    counts = file.count.counts
    totals = {
        name: getattr(counts, name)
        for name in ("instructions", "loads", "stores", "macs", "working_set_bytes")
    }
    return {**to_plain(file), "totals": totals}


def read_written(path: Path, command: str) -> bytes:
    """Read a file that a command of ours writes.

    Raises:
        InputError: It cannot be read; the line names the command.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read {path}: {reason}; write it with {command}") from error


def read_document(path: Path) -> CostDocument:
    """Read a document.

    Raises:
        InputError: It is absent, damaged or of a newer version.
    """
    text = read_written(path, f"pfd-arm --artifacts FILES --json {path}")
    document = decode_json(CostDocument, text, what=str(path), strict=False)
    if document.schema_version > SCHEMA_VERSION:
        raise InputError(
            f"{path} is of schema {document.schema_version}, this version reads up to "
            f"{SCHEMA_VERSION}; update this program"
        )
    return document
