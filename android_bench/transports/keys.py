"""The user's ADB keys: those in ``~/.android``, as every ADB client uses them.

A phone that has accepted this computer for the platform adb accepts it here without a new tap.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from android_bench.transports import adb_library
from android_bench.transports.adb_library import Signer
from export.sets.files import output_errors
from pfd_models.errors import InputError

__all__ = ["keys_folder", "signers"]


def keys_folder() -> Path:
    """Return the folder with ``adbkey``, as the platform adb finds it."""
    return Path.home() / ".android"


def signers() -> list[Signer]:
    """Return the signers for the user's keys, making the first key when there is none.

    ``ADB_VENDOR_KEYS`` names further keys, or folders of them, as for the platform adb.

    Raises:
        InputError: A key is damaged.
        OutputError: There is none and none can be written.
    """
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
    return [_load(key) for key in found if key.is_file()]


def _load(key: Path) -> Signer:
    try:
        return adb_library.load_signer(key)
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(key) from error


def _unusable(key: Path) -> InputError:
    return InputError(
        f"{key} is no usable ADB key: move it away, and a new one is made; the phone then asks "
        f"again whether it allows this computer"
    )


def _public(key: Path) -> Path:
    return key.with_name(key.name + ".pub")


def _write_public(key: Path) -> None:
    try:
        with output_errors(_public(key)):
            adb_library.write_public_half(key, _public(key))
    except (ValueError, TypeError) as error:
        raise _unusable(key) from error


def _generate(key: Path) -> None:
    """Make a new pair; adb-shell's own files would be readable by everybody on the computer."""
    with output_errors(key):
        key.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adbkey.", dir=key.parent) as folder:
            made = Path(folder) / "adbkey"
            adb_library.make_keys(made)
            made.chmod(0o600)
            _public(made).replace(_public(key))
            made.replace(key)
