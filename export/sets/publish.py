"""Where finished sets lie, how one appears, and how an unchanged one is found again.

A set appears by renames, its manifest last, so a folder holds whole sets only: whoever is
interrupted leaves a staging folder, which the next build removes. A small index maps the key
of a request to the set it made, so that an unchanged request is answered without loading torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from export.sets.files import atomic_write, output_errors
from export.sets.manifest import Artifact, Manifest, load_manifest
from pfd_models.errors import OutputError, PfdError
from pfd_models.operating_system import lock_file

__all__ = ["find", "find_reusable", "publish", "remember", "require_own_set", "stage"]

INDEX = ".index.json"
STAGING = ".building-"


def find(out: Path, key: str, formats: tuple[str, ...]) -> Manifest | None:
    """Return the verified set an equal request made before, if it holds all the formats.

    A format that could not be made of the network then cannot be made now either.
    """
    stem = _read_index(out).get(key)
    if stem is None:
        return None
    try:
        manifest = load_manifest(out / f"{stem['stem']}.json")
    except PfdError:
        return None  # gone or changed since: build it again
    have = {a.format for a in manifest.artifacts} | {m.format for m in manifest.missing_formats}
    same = manifest.build_id == stem["build_id"]
    return manifest if same and have >= set(formats) else None


def find_reusable(out: Path, stem: str, build_id: str) -> tuple[Artifact, ...]:
    """Return the artifacts of a set that are whole and were made from the same content."""
    try:
        manifest = load_manifest(out / f"{stem}.json")
    except PfdError:
        return ()
    return manifest.artifacts if manifest.build_id == build_id else ()


@contextlib.contextmanager
def stage(out: Path) -> Iterator[Path]:
    """Give a private folder beside the results; it is gone afterwards, whatever happens.

    Raises:
        OutputError: The output folder cannot be made or written.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(out)
        folder = Path(tempfile.mkdtemp(prefix=f"{STAGING}{os.getpid()}-", dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_own_set(
    out: Path, stem: str, build_id: str, source: tuple[str, ...], code_place: str
) -> None:
    """Refuse to replace a set that was made of another source's network.

    Args:
        out: Where the set would go.
        stem: Its file stem.
        build_id: Of the new set; one that is already there replaces nothing.
        source: Model, variant and data set of the new set.
        code_place: Where its code lies.

    Raises:
        OutputError: A set of that stem lies there and its manifest tells of another source.
    """
    there = _load_unverified(out, stem)
    if there is None or there.build_id == build_id:
        return
    # Code that is no longer where it was has moved: a project may be taken elsewhere.
    another = there.code_place != code_place and (out / there.code_place).is_file()
    if there.source == source and not another:
        return
    raise OutputError(
        f"{out / stem}.json is a set of {_describe(there.source, there.code_place)}, not of "
        f"{_describe(source, code_place)}; give another --name or --out to keep it, or --force "
        "to replace it"
    )


def publish(
    folder: Path, out: Path, manifest: Manifest, key: str, *, force: bool = False
) -> Manifest:
    """Move a staged set into place, manifest last, and return it as it now lies there.

    Files of an older set with this stem that are not in the new one are removed.

    Args:
        folder: Where the set's files are staged.
        out: Where they go.
        manifest: Of the set.
        key: Of the request that it answers.
        force: Replace a set of another source too.

    Raises:
        OutputError: The output folder cannot be written, or a set of another source lies there.
    """
    final = out / f"{manifest.stem}.json"
    with output_errors(out), _lock(out):
        if not force:  # asked again under the lock: two builds may have begun at once
            require_own_set(
                out, manifest.stem, manifest.build_id, manifest.source, manifest.code_place
            )
        older = _load_unverified(out, manifest.stem)
        staged = manifest.save(folder)
        for file in folder.iterdir():
            _sync(file)
        final.unlink(missing_ok=True)  # from here to the last rename the set has no manifest
        kept = {stored.file for stored in manifest.files}
        for stored in older.files if older is not None else ():
            if stored.file not in kept:
                (out / stored.file).unlink(missing_ok=True)
        for stored in manifest.files:
            if (folder / stored.file).exists():
                os.replace(folder / stored.file, out / stored.file)
        os.replace(staged, final)
    remember(out, key, manifest.stem, manifest.build_id)
    return load_manifest(final)


def remember(out: Path, key: str, stem: str, build_id: str | None = None) -> None:
    """Note which set answers a request."""
    build_id = build_id or load_manifest(out / f"{stem}.json", verify=False).build_id
    with output_errors(out), _lock(out):
        index = _read_index(out)
        index[key] = {"stem": stem, "build_id": build_id}
        atomic_write(out / INDEX, json.dumps(index, indent=1) + "\n")


def _describe(source: tuple[str, ...], code_place: str) -> str:
    name = "/".join(filter(None, source))
    return f"{name} in {code_place}" if code_place else name


def _load_unverified(out: Path, stem: str) -> Manifest | None:
    try:
        return load_manifest(out / f"{stem}.json", verify=False)
    except PfdError:
        return None  # none there, or not one that can be read: nothing to keep


def _read_index(out: Path) -> dict[str, dict[str, str]]:
    try:
        index = json.loads((out / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    with (out / ".lock").open("w") as file:
        lock_file(file.fileno())
        yield


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove_abandoned(out: Path) -> None:
    for folder in out.glob(f"{STAGING}*"):
        pid = folder.name.removeprefix(STAGING).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            shutil.rmtree(folder, ignore_errors=True)
