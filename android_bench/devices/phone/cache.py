"""What the bench keeps on a phone: the harness bundle, once per version, and files by content.

Everything lies below one folder of ``/data/local/tmp``; a file that is there with the right hash
is not sent again. Only the newest bundle stays.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from android_bench.devices.phone.launcher import patiently
from android_bench.native_build.build import Built
from android_bench.native_build.record import BundleFile
from android_bench.transports import Transport
from export.sets.files import sha256_file
from pfd_models.errors import DeviceError, InputError

__all__ = ["ROOT", "Bundle", "load_bundle", "place_file", "push_bundle"]

ROOT = "/data/local/tmp/pfd"
_HASH_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A harness with all it needs, as it lies here.

    Attributes:
        local: Its folder here.
        loader: The file that starts the program; empty where it starts by itself.
        files: What is pushed.
    """

    local: Path
    loader: str
    files: tuple[BundleFile, ...]

    @property
    def folder(self) -> str:
        """Its folder on the phone, named by content."""
        parts = [f"{file.file}:{file.sha256}" for file in self.files]
        digest = hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()
        return f"{ROOT}/harness/{digest[:16]}"

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def command(self) -> list[str]:
        """What starts the harness there."""
        program = f"{self.folder}/pfd_bench"
        if not self.loader:
            return [program]
        return [f"{self.folder}/{self.loader}", "--library-path", self.folder, program]


def load_bundle(built: Built) -> Bundle:
    """Return the bundle that a build for a phone made.

    Raises:
        DeviceError: The build is none for a phone, or damaged.
    """
    path = built.folder / "build.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))["bundle"]
        files = tuple(BundleFile(**file) for file in facts["files"])
        return Bundle(local=built.folder, loader=facts["loader"], files=files)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeviceError(
            f"{path} describes no bundle for a phone ({error!r}): remove its folder and call again"
        ) from error


def push_bundle(
    transport: Transport, bundle: Bundle, say: Callable[[str], None], reconnect_s: float
) -> Sequence[BundleFile]:
    """Bring the bundle to the phone and remove those of other versions; the lock is held.

    Args:
        transport: To the phone.
        bundle: What to bring.
        say: Hears what takes a moment.
        reconnect_s: How long the phone may be gone meanwhile.

    Returns:
        The files that had to be sent.

    Raises:
        DeviceError: The phone is full, does not run programs there, or the connection was lost.
    """
    there = _hashes(transport, bundle.folder)
    missing = [file for file in bundle.files if there.get(file.file) != file.sha256]
    total = sum(file.size_bytes for file in missing)
    for number, file in enumerate(missing, start=1):
        say(
            f"sending {file.file} ({file.size_bytes / 1e6:.1f} MB, {file.licence}), "
            f"{number} of {len(missing)}, {total / 1e6:.1f} MB in all"
        )
        push = partial(
            transport.push,
            bundle.local / file.file,
            f"{bundle.folder}/{file.file}",
            executable=file.executable,
        )
        patiently(transport, push, reconnect_s)
    keep = posixpath.basename(bundle.folder)
    transport.run(
        f'cd {ROOT}/harness && for old in *; do [ "$old" = {keep} ] || rm -rf "$old"; done'
    )
    return missing


def _hashes(transport: Transport, folder: str) -> dict[str, str]:
    """Return file to SHA-256 of what lies there; one command for all."""
    result = transport.run(
        f"cd {shlex.quote(folder)} 2>/dev/null && sha256sum -- * 2>/dev/null",
        timeout_s=_HASH_TIMEOUT_S,
    )
    pairs = (line.split(None, 1) for line in result.stdout.splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def place_file(transport: Transport, path: Path) -> str:
    """Bring one file to the phone's cache, named by its content, and return where it lies.

    Raises:
        InputError: It cannot be read.
        DeviceError: The phone has no room for it, or the connection was lost.
    """
    try:
        name = f"{sha256_file(path)[:16]}-{path.name}"
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read {path}: {reason}; name a file that is there") from error
    return transport.push(path, f"{ROOT}/files/{name}").remote
