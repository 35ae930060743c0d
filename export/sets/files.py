"""Files as the exporter writes and knows them: whole or not at all, named by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pfd_models.files import atomic_write, output_errors

__all__ = ["atomic_write", "output_errors", "sha256_file"]


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
