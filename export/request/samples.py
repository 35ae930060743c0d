"""Which files hold the inputs that a user brings, and what decides them. Nothing is decoded."""

from __future__ import annotations

from pathlib import Path

from export.request.provenance import source_digest
from export.sets.files import sha256_file
from pfd_models.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "MOST_SAMPLES", "list_samples", "samples_digest"]

MOST_SAMPLES = 8
"""How many samples are run in every format: the first ones."""

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")


def list_samples(path: Path) -> list[Path]:
    """Return the files of the samples: the ``.npz`` itself, or a folder's images by name.

    Raises:
        DataError: There is no such file or folder, or it holds nothing of the kind.
    """
    if path.is_file() and path.suffix == ".npz":
        return [path]
    if not path.is_dir():
        raise DataError(
            f"--samples {path} is no .npz file and no folder; give a folder of .png or .jpg "
            "images, or an .npz with input_0 (and input_1, ...) of shape (samples, ...)"
        )
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if len(images) < 2:
        raise DataError(
            f"--samples {path} holds {len(images)} images ({', '.join(IMAGE_SUFFIXES)}); give 2 or "
            "more, for a check needs inputs that differ"
        )
    return images[:MOST_SAMPLES]


def samples_digest(path: Path | None) -> str:
    """Return the SHA-256 over the samples' names and contents; empty where there are none.

    Raises:
        DataError: As `list_samples`.
    """
    if path is None:
        return ""
    files = list_samples(path)
    return sha256_file(files[0]) if path.is_file() else source_digest(files)
