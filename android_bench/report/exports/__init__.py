"""Campaigns in the formats that other tools read: one format, one file of this folder.

A file's name is its format's, with hyphens for underscores. It has two names: ``ENDING``, what
its files are called after, and ``write(results)``, which returns every file as bytes under a
word that tells it from its sisters; the word is empty where all campaigns go into one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from android_bench.campaign.result import CampaignResult
from pfd_models.discovery import import_file, list_files
from pfd_models.errors import InputError, SpecError, unknown
from pfd_models.files import atomic_write

__all__ = ["ExportFormat", "export_campaigns", "get_format", "guess_format", "list_formats"]

_BY_SUFFIX = {".csv": "csv", ".parquet": "parquet"}  # the others end in .json or .pb alike


class ExportFormat(Protocol):
    """What a file of this folder offers."""

    ENDING: str

    def write(self, results: Sequence[CampaignResult], /) -> Mapping[str, bytes]:
        """Return the files, each under a word that tells it from the others.

        Raises:
            InputError: The campaigns do not hold what the format is about.
        """
        ...


def list_formats() -> tuple[str, ...]:
    """Return the names of all formats, in alphabetical order."""
    return tuple(name.replace("_", "-") for name in list_files(__name__))


def get_format(name: str) -> ExportFormat:
    """Return the format called `name`.

    Raises:
        SpecError: There is none; the line names the nearest.
    """
    if name not in list_formats():
        raise SpecError(unknown("format", name, list_formats()))
    return cast("ExportFormat", import_file(__name__, name.replace("-", "_")))


def guess_format(path: Path | None) -> str:
    """Return the format that a file's name says.

    Raises:
        InputError: It says none.
    """
    if path is None or path.suffix not in _BY_SUFFIX:
        formats = ", ".join(list_formats())
        raise InputError(
            f"cannot tell the format of {path or 'nothing'}: give --format ({formats})"
        )
    return _BY_SUFFIX[path.suffix]


def export_campaigns(
    results: Sequence[CampaignResult], name: str, path: Path | None = None
) -> tuple[Path, ...]:
    """Write campaigns in one format; every file whole or not at all.

    Args:
        results: From `campaign.result.read_result`, at least one.
        name: The format.
        path: Where to; by default the first campaign's id with the format's ending, here. Where
            a format makes a file for each variant, the variant stands before the ending.

    Returns:
        What was written.

    Raises:
        SpecError: The format is unknown.
        InputError: The campaigns do not hold what the format is about.
        OutputError: The path cannot be written.
    """
    chosen = get_format(name)
    files = chosen.write(results)
    if path is None:
        path = Path(results[0].campaign.campaign_id + chosen.ENDING)
    ending = chosen.ENDING if path.name.endswith(chosen.ENDING) else path.suffix
    stem = path.name.removesuffix(ending)
    written: list[Path] = []
    for word, data in files.items():
        target = path.with_name(f"{stem}-{_plain(word)}{ending}") if word else path
        if target in written:  # two names that differ in nothing a file's name may hold
            target = path.with_name(f"{stem}-{_plain(word)}-{len(written)}{ending}")
        atomic_write(target, data)
        written.append(target)
    return tuple(written)


def _plain(word: str) -> str:
    """Return a word that is safe in a file's name."""
    return "".join(c if c.isalnum() or c in "._" else "-" for c in word).strip("-")
