"""Which files a campaign compares: found through their manifests, verified, grouped into contests.

A file without a manifest is not measured: nothing would say what it should compute. The whole
set is verified by hash before anything runs.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.harness.client import EngineInfo
from android_bench.records import ArtifactRecord, artifact_record
from android_bench.records.field_checks import required
from export.sets.manifest import Artifact, Manifest, load_manifest
from pfd_models.errors import InputError, unknown

__all__ = [
    "BenchFile",
    "Contest",
    "contests_of",
    "files_of",
    "find_files",
    "require_version",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchFile:
    """One file with the manifest that describes it."""

    manifest: Manifest
    artifact: Artifact

    @property
    def path(self) -> Path:
        """Return where it lies, as an absolute path."""
        return self.manifest.path(self.artifact).absolute()

    @property
    def manifest_path(self) -> Path:
        """Return where its manifest lies, as an absolute path."""
        return (self.manifest.folder / f"{self.manifest.stem}.json").absolute()

    @property
    def record(self) -> ArtifactRecord:
        """Return what the store keeps of it."""
        return artifact_record(self.manifest, self.artifact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What one campaign compares: files of one network, or modules with one input, and one engine.

    Attributes:
        name: A line for the reader.
        engine: The engine's name.
        entries: Label to file; the first is the baseline.
    """

    name: str
    engine: str
    entries: tuple[tuple[str, BenchFile], ...]

    def __post_init__(self) -> None:
        """Check that there is something to measure."""
        required(self, len(self.entries) > 0, "entries", "give at least one file")

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, the baseline's first."""
        return tuple(label for label, _ in self.entries)

    @property
    def files(self) -> tuple[BenchFile, ...]:
        """Return the files in the order of the labels."""
        return tuple(file for _, file in self.entries)


def find_files(patterns: Iterable[str]) -> tuple[BenchFile, ...]:
    """Return the files that glob patterns name, each once, with their verified manifests.

    Args:
        patterns: Of artifacts, as ``artifacts/shufflenetv2_*.pte``, or of manifests, which
            stand for all their files.

    Raises:
        InputError: A pattern matches nothing, or a file has no manifest.
        IntegrityError: A file is not the one its manifest describes.
    """
    found: dict[Path, BenchFile] = {}
    for pattern in patterns:
        paths = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]
        if not paths:
            raise InputError(f"no file matches {pattern!r}; build artifacts first or correct it")
        manifests, refused = _manifests(paths)
        for path in paths:
            if path.resolve() in manifests:
                files = files_of(manifests[path.resolve()])
            elif path.suffix in (".json", ".npz") or path.is_dir():
                continue
            else:
                files = (_described(path, manifests.values(), refused),)
            found |= {file.path: file for file in files}
    if not found:
        raise InputError(
            f"{', '.join(map(repr, patterns))} match no artifact; name .pte or .tflite"
        )
    return tuple(found.values())


def files_of(manifest: Manifest) -> tuple[BenchFile, ...]:
    """Return every file of a set."""
    return tuple(BenchFile(manifest=manifest, artifact=a) for a in manifest.artifacts)


def _manifests(paths: Sequence[Path]) -> tuple[dict[Path, Manifest], list[InputError]]:
    """Return the verified manifests that describe one of the files, or are one of them.

    Other JSON files may lie beside them: what was refused is returned too, for a file that no
    manifest describes.
    """
    found, refused = {}, []
    wanted = {path.resolve() for path in paths}
    for folder in dict.fromkeys(path.parent for path in paths):
        for candidate in sorted(folder.glob("*.json")):
            try:
                manifest = load_manifest(candidate, verify=False)
            except InputError as error:
                if candidate.resolve() in wanted and len(wanted) == 1:
                    raise  # the user named this one file
                refused.append(error)
                continue
            mine = {manifest.path(a).resolve() for a in manifest.artifacts}
            if candidate.resolve() in wanted or mine & wanted:
                found[candidate.resolve()] = load_manifest(candidate)
    return found, refused


def _described(
    path: Path, manifests: Iterable[Manifest], refused: Sequence[InputError]
) -> BenchFile:
    for manifest in manifests:
        for file in files_of(manifest):
            if file.path.resolve() == path.resolve():
                return file
    if refused:
        raise refused[0]
    raise InputError(
        f"{path} has no manifest beside it that names it; build it with python -m export.build, "
        "or copy its .json and _reference.npz as well"
    )


def contests_of(
    files: Sequence[BenchFile], engines: Sequence[EngineInfo], wanted: Sequence[str] = ()
) -> tuple[Contest, ...]:
    """Group files into what is compared: one network (or a user's modules), one input, one engine.

    Args:
        files: In the order to show them; the first of a group is its baseline, but the variant
            called ``orig`` always is.
        engines: What the device has.
        wanted: Names of engines; empty takes every one that runs one of the files.

    Raises:
        InputError: An engine is unknown, or none runs any of the files.
        DeviceError: A wanted engine is not available on the device.
    """
    known = {engine.name: engine for engine in engines}
    contests = []
    for name in wanted or known:
        if name not in known:
            raise InputError(unknown("runtime", name, known))
        groups: dict[tuple[object, ...], list[BenchFile]] = {}
        for file in files:
            if file.path.suffix in known[name].suffixes:
                groups.setdefault(_network(file), []).append(file)
        contests += [_contest(group, name) for group in groups.values()]
    if not contests:
        have = ", ".join(sorted({file.path.suffix for file in files}))
        runs = "; ".join(f"{e.name} runs {' '.join(e.suffixes) or e.unavailable}" for e in engines)
        raise InputError(f"no engine here runs {have} files: {runs}")
    return tuple(contests)


def _network(file: BenchFile) -> tuple[object, ...]:
    # A module of a user's own has no variants: who measures two of them wants them compared.
    model = file.manifest.model if file.manifest.variant else ""
    return (model, file.manifest.dataset, file.artifact.inputs)


def _contest(files: list[BenchFile], engine: str) -> Contest:
    files = sorted(files, key=lambda file: file.manifest.variant != "orig")  # stable
    first = files[0]
    shape = "x".join(str(side) for side in first.artifact.inputs[0].shape)
    where = " ".join(filter(None, (first.manifest.model, first.manifest.dataset, shape)))
    labels = _labels(files)
    return Contest(
        name=f"{where} with {engine}",
        engine=engine,
        entries=tuple(zip(labels, files, strict=True)),
    )


def _labels(files: Sequence[BenchFile]) -> list[str]:
    """Return the variants' names, with as much beside them as tells the files apart.

    Files of one variant that differ in precision have its name.
    """
    variants = [file.manifest.variant for file in files]
    precisions = [file.artifact.precision for file in files]
    ways = (
        variants,
        precisions if len(set(variants)) == 1 else variants,
        [f"{v} {p}".strip() for v, p in zip(variants, precisions, strict=True)],
        [
            f"{f.manifest.variant} {f.artifact.precision} {f.artifact.backend}".strip()
            for f in files
        ],
        [file.manifest.stem for file in files],
        [file.artifact.file for file in files],
    )
    for labels in ways:
        if len(set(labels)) == len(files) and all(labels):
            return labels
    return [f"{file.artifact.file} {file.artifact.sha256[:8]}" for file in files]


# Engines whose files belong to one release: package in a manifest's versions.
_SAME_RELEASE = {"executorch": "executorch"}


def require_version(file: BenchFile, engine: EngineInfo) -> None:
    """Refuse a file that was made for another release of its engine.

    Raises:
        InputError: naming the file and both versions.
    """
    package = _SAME_RELEASE.get(engine.name)
    if package is None:
        return
    made_for = file.manifest.versions.get(package, "an unknown version")
    if _release(made_for) != _release(engine.version):
        raise InputError(
            f"{file.artifact.file} was made for {engine.name} {made_for} and the harness has "
            f"{engine.version}; build it again here, or the harness with that version"
        )


def _release(version: str) -> str:
    """Return a version without what names the build, as ``+cpu`` (PEP 440, local versions)."""
    return version.partition("+")[0]
