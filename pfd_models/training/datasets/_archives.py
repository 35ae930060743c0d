"""Archives that a set is published as: fetched where allowed, checked, unpacked once."""

from __future__ import annotations

import urllib.error
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets.utils import calculate_md5, download_url, extract_archive

from pfd_models.errors import DataError
from pfd_models.files import output_errors

__all__ = ["Archive", "check_archive", "fetch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One published file.

    Attributes:
        file: Its name.
        md5: Its checksum.
        url: Where it is; empty where it may not be fetched by a program.
    """

    file: str
    md5: str
    url: str = ""


def check_archive(root: Path, archive: Archive) -> None:
    """Refuse an archive that is missing or damaged.

    Raises:
        DataError: It is; the line says what to do.
    """
    path = root / archive.file
    remedy = "--download" if archive.url else "a copy from its publisher (see docs/training.md)"
    if not path.is_file():
        raise DataError(f"{path} is missing; get it with {remedy}, or name another --data-root")
    found = calculate_md5(str(path))
    if found != archive.md5:
        raise DataError(
            f"{path} is damaged or another file: its MD5 is {found}, published is {archive.md5}; "
            f"delete it and get it with {remedy}"
        )


def fetch(root: Path, archive: Archive, *, download: bool) -> None:
    """Make sure that an archive is there and whole, and unpack it into its folder.

    Raises:
        DataError: It is missing or damaged, or cannot be fetched.
    """
    if download and archive.url:
        try:
            with output_errors(root):
                root.mkdir(parents=True, exist_ok=True)
            download_url(archive.url, str(root), filename=archive.file, md5=archive.md5)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the answer's socket
            raise DataError(
                f"cannot fetch {archive.url}: {str(error).splitlines()[0]}; fetch it by hand into "
                f"{root} and call again without --download"
            ) from error
    check_archive(root, archive)
    with output_errors(root):
        extract_archive(str(root / archive.file), str(root))
