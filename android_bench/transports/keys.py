"""The user's ADB keys: those in ``~/.android``, as every ADB client uses them.

A phone that has accepted this computer for the platform adb accepts it here without a new tap.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from export.sets.files import output_errors

__all__ = ["keys_folder", "signers"]


def keys_folder() -> Path:
    """Return the folder with ``adbkey``, as the platform adb finds it."""
    return Path.home() / ".android"


def signers() -> list[Any]:
    """Return adb-shell's signers for the user's keys, making the first key when there is none.

    ``ADB_VENDOR_KEYS`` names further keys, or folders of them, as for the platform adb.
    """
    from adb_shell.auth.sign_cryptography import CryptographySigner

    main = keys_folder() / "adbkey"
    if not main.is_file():
        _generate(main)
    found = [main]
    for entry in filter(None, os.environ.get("ADB_VENDOR_KEYS", "").split(os.pathsep)):
        place = Path(entry)
        found += sorted(place.glob("*.adb_key")) if place.is_dir() else [place]
    for key in found:
        if key.is_file() and not _public(key).is_file():
            _write_public(key)
    return [CryptographySigner(str(key)) for key in found if key.is_file()]


def _public(key: Path) -> Path:
    return key.with_name(key.name + ".pub")


def _write_public(key: Path) -> None:
    from adb_shell.auth.keygen import write_public_keyfile

    with output_errors(_public(key)):
        write_public_keyfile(str(key), str(_public(key)))


def _generate(key: Path) -> None:
    """Make a new pair; adb-shell's own files would be readable by everybody on the computer."""
    from adb_shell.auth.keygen import keygen

    with output_errors(key):
        key.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adbkey.", dir=key.parent) as folder:
            made = Path(folder) / "adbkey"
            keygen(str(made))
            made.chmod(0o600)
            _public(made).replace(_public(key))
            made.replace(key)
