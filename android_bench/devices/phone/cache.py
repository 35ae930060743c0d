"""What the bench keeps on a phone: the harness bundle, once per version, and files by content.

Everything lies below one folder of ``/data/local/tmp``. A file is named by its SHA-256, so equal
content is sent once whatever it is called here, and other content of the same size is sent
again. Its time of change is the time of its last use. Files not used for long go when a new one
comes, and where that one finds no room, so do those that were used longest ago; never those that
a campaign is using. Only the newest bundle stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from android_bench.devices.answers import whole_number
from android_bench.devices.phone.launcher import clear_runs, with_reconnect
from android_bench.devices.phone.lock import Lock, locked
from android_bench.native_build.build import Built
from android_bench.native_build.record import BundleFile
from android_bench.transports import Transport, delivery
from export.sets.files import sha256_file
from pfd_models.errors import InputError

__all__ = [
    "MAX_IDLE_DAYS",
    "ROOT",
    "Bundle",
    "Freed",
    "clean_cache",
    "load_bundle",
    "push_bundle",
    "upload_file",
]

ROOT = "/data/local/tmp/pfd"
MAX_IDLE_DAYS = 30
"""After how long without use a file may go."""

_FILES = "files"
_HASH_TIMEOUT_S = 300.0
_DIGEST_LENGTH = 32
_LONGEST_NAME = 80
# A file's name there: part of its SHA-256, and a name for the reader.
_NAME = re.compile(rf"[0-9a-f]{{{_DIGEST_LENGTH}}}-[A-Za-z0-9._-]{{1,{_LONGEST_NAME}}}")


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
    """Return the bundle that a build for a phone made."""
    return Bundle(local=built.folder, loader=built.bundle.loader, files=built.bundle.files)


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
    keep = posixpath.basename(bundle.folder)
    transport.run(
        f"cd {ROOT}/harness 2>/dev/null || exit 0; "
        f'for old in *; do [ "$old" = {keep} ] || rm -rf "$old"; done'
    )
    there = _hashes(transport, bundle.folder)
    missing = [file for file in bundle.files if there.get(file.file) != file.sha256]
    total = sum(file.size_bytes for file in missing)
    if missing:
        with_reconnect(transport, lambda: _make_room(transport, total, ()), reconnect_s)
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
        with_reconnect(transport, push, reconnect_s)
    return missing


def _hashes(transport: Transport, folder: str) -> dict[str, str]:
    """Return file to SHA-256 of what lies there; one command for all."""
    result = transport.run(
        f"cd {shlex.quote(folder)} 2>/dev/null && sha256sum -- * 2>/dev/null",
        timeout_s=_HASH_TIMEOUT_S,
    )
    pairs = (line.split(None, 1) for line in result.stdout.splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


# -- files by content --------------------------------------------------------------------------


def upload_file(transport: Transport, path: Path, *, in_use: Collection[str] = ()) -> str:
    """Bring a file to the phone's cache and return where it lies; the lock is held.

    A file whose content is there already, under whatever name, is not sent; it then counts as
    used now.

    Args:
        transport: To the phone.
        path: The file here.
        in_use: Paths that earlier calls returned and that must stay, however full the phone is.

    Raises:
        InputError: It cannot be read.
        DeviceError: The phone has no room for it, or the connection was lost.
    """
    try:
        digest, size = sha256_file(path)[:_DIGEST_LENGTH], path.stat().st_size
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read {path}: {reason}; name a file that is there") from error
    folder = f"{ROOT}/{_FILES}"
    # What is there is hashed by `push`, which also sends it again should it be damaged.
    found = transport.run(
        f"cd {folder} 2>/dev/null || exit 0; "
        f'for file in {digest}-*; do [ -f "$file" ] && touch "$file" && echo "$file"; done; true'
    ).stdout.split("\n")
    names = [name for name in found if _NAME.fullmatch(name)]
    if not names:
        names = [f"{digest}-{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)[-_LONGEST_NAME:]}"]
        _make_room(transport, size, in_use)
    pushed = transport.push(path, f"{folder}/{names[0]}")
    if not pushed.skipped:
        # A push gives it the time of the file here.
        transport.run(f"touch {shlex.quote(pushed.remote)}")
    return pushed.remote


@dataclass(frozen=True, slots=True, kw_only=True)
class _CachedFile:
    """A file of the cache.

    Attributes:
        name: Within its folder.
        size_bytes: Its size.
        idle_s: Seconds since it was last used, by the phone's own clock.
    """

    name: str
    size_bytes: int
    idle_s: int


def _make_room(transport: Transport, size_bytes: int, in_use: Collection[str]) -> None:
    """Remove files not used for long, then those used longest ago, until a new one fits.

    Where even that is not enough nothing is said here: the upload says how much is missing.
    """
    result = transport.run(
        f"cd {ROOT}/{_FILES} 2>/dev/null || exit 0; rm -f .*.part; date +%s; "
        "stat -c '%Y %s %n' -- * 2>/dev/null; echo; df -k ."
    )
    listing, _, df = result.stdout.partition("\n\n")
    kept = {posixpath.basename(remote) for remote in in_use}
    files = [file for file in _cached_files(listing) if file.name not in kept]
    old = [file for file in files if file.idle_s > MAX_IDLE_DAYS * 86_400]
    gone = {file.name for file in old}
    free = delivery.free_bytes(df)
    if free is not None:
        free += sum(file.size_bytes for file in old)
        for file in sorted(files, key=lambda file: -file.idle_s):
            if free >= size_bytes + delivery.SPARE_BYTES:
                break
            if file.name not in gone:
                gone.add(file.name)
                free += file.size_bytes
    _remove(transport, gone)


def _cached_files(listing: str) -> list[_CachedFile]:
    """Read the phone's time and its files: change time, size and name, a line each."""
    first, _, rest = listing.partition("\n")
    now = whole_number(first.strip()) or 0
    found = []
    for line in rest.splitlines():
        changed, _, size_and_name = line.partition(" ")
        size, _, name = size_and_name.partition(" ")
        then, size_bytes = whole_number(changed), whole_number(size)
        if then is not None and size_bytes is not None and _NAME.fullmatch(name):
            # A clock that was set back makes a file younger, not older.
            found.append(_CachedFile(name=name, size_bytes=size_bytes, idle_s=max(0, now - then)))
    return found


def _remove(transport: Transport, names: Iterable[str]) -> None:
    quoted = " ".join(shlex.quote(name) for name in sorted(names))
    if quoted:
        transport.run(f"cd {ROOT}/{_FILES} && rm -f -- {quoted}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What was removed from a phone.

    Attributes:
        files: How many.
        size_bytes: Of all together, as they take room on the phone's disk.
    """

    files: int
    size_bytes: int


def clean_cache(transport: Transport, *, lock: Lock | None = None) -> Freed:
    """Remove everything that the bench keeps on a phone: harness, models, inputs, dead runs.

    Args:
        transport: To the phone.
        lock: Held by the caller; taken here for the while when None.

    Raises:
        DeviceError: Another bench is using the phone, or it does not answer.
    """
    with contextlib.nullcontext(lock) if lock else locked(transport):
        clear_runs(transport)
        result = transport.run(
            f"cd {ROOT} && {{ find files harness runs -type f 2>/dev/null | wc -l; "
            f"du -sk files harness runs 2>/dev/null; rm -rf files harness runs; }}"
        )
        count, *sizes = result.stdout.splitlines() or ["0"]
        kib = [whole_number(line.split()[0]) or 0 for line in sizes if line.strip()]
        return Freed(files=whole_number(count.strip()) or 0, size_bytes=1024 * sum(kib))
