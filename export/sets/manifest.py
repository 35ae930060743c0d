"""The manifest: what a set of artifacts is, how it was made and how well it computes.

Everything here is plain data. The bench reads manifests without loading torch, so this
module imports none of it. A manifest is the one thing that crosses from export to bench.

Schema versions:
    1  first version.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.sets.artifact import (
    PARITY_LIMIT,
    Artifact,
    Leftover,
    Parity,
    PrecisionCost,
    TensorSpec,
)
from export.sets.files import atomic_write, sha256_file
from export.sets.quantization import FloatPrice, LossLimit, Quantization, StoredValue
from pfd_models.errors import InputError, IntegrityError
from pfd_models.plain_data import decode_json, from_plain, to_plain

__all__ = [
    "PARITY_LIMIT",
    "SCHEMA_VERSION",
    "AppInterface",
    "Artifact",
    "FloatPrice",
    "Leftover",
    "LossLimit",
    "Manifest",
    "MissingFormat",
    "Parity",
    "PassRecord",
    "PrecisionCost",
    "Quantization",
    "ReferenceData",
    "StoredValue",
    "TensorSpec",
    "load_manifest",
]

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AppInterface:
    """What the files do for an app besides the network.

    Attributes:
        preprocess: ``baked``: they take RGB in 0..1 and normalise it; ``uint8``: they take the
            bytes of an NHWC image; ``metadata``: the ``.tflite`` says how, for libraries that read
            it; ``none``.
        mean: What they subtract from each channel in 0..1; empty where they do not normalise.
        std: What they divide each channel by.
        head: ``softmax``, ``argmax``, ``topk:K`` or ``none``.
        labels: Names of the classes; empty where nobody gave them.
    """

    preprocess: str = "none"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    head: str = "none"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRecord:
    """One graph rewrite that was run: how often it fired and what it did to the graph size."""

    name: str
    rewrites: int
    nodes_before: int
    nodes_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceData:
    """Seeded inputs and expected outputs, kept beside the artifacts.

    The file is a NumPy ``.npz`` with ``input_0`` (samples, ...) in PyTorch's layout, float32,
    and ``output_0`` (samples, ...) of the float64 run rounded to float32; further inputs and
    outputs are numbered on.
    """

    file: str
    sha256: str
    size_bytes: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingFormat:
    """A format that was asked for and that the network has no file of.

    Attributes:
        format: ``pte``, ``onnx`` or ``tflite``.
        reason: What in the network that format cannot express, one line.
    """

    format: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A set of artifacts of one network.

    Attributes:
        stem: The file stem the set shares.
        build_id: SHA-256 over source, weights, options and versions; also inside each file.
        model: Registered name, or ``module:factory`` for a user's module.
        variant: The variant's name; empty for a user's module.
        dataset: The data-set shape's name; empty for a user's module.
        spec: The full specification as plain data (input shape, normalisation, source).
        weights: ``seed:N`` or ``sha256:...`` of the checkpoint, and what was taken of it.
        params: Trainable parameters.
        macs: Multiply-accumulates of one inference of one image, convolutions and matrix products.
        passes: The graph rewrites, in order.
        artifacts: The files.
        missing_formats: What was asked for and cannot be made of this network.
        reference: Inputs and expected outputs for verification elsewhere.
        versions: Package name to version, and the Python version.
        git_revision: Of the exporter's source; empty outside a checkout.
        git_dirty: Whether that checkout had uncommitted changes.
        created: UTC time, ISO 8601.
        build_seconds: Wall seconds of the steps that all files share.
        conversions: What a conversion of the user's module changed, a line a site.
        code_place: Where the network's code lies (see `BuildRequest.code_place`).
        parity_inputs: What the network and the files were fed.
        allow_flat_output: Whether outputs that hardly depend on the input were accepted; parity
            then says less.
        quantization: How an 8-bit set was calibrated; None for float32.
        app: What the files do for an app; None where that was not asked for.
    """

    stem: str
    build_id: str
    model: str
    variant: str
    dataset: str
    spec: Mapping[str, Any]
    weights: str
    params: int
    macs: int
    passes: tuple[PassRecord, ...]
    artifacts: tuple[Artifact, ...]
    reference: ReferenceData
    versions: Mapping[str, str]
    git_revision: str
    git_dirty: bool
    created: str
    missing_formats: tuple[MissingFormat, ...] = ()
    build_seconds: Mapping[str, float] = field(default_factory=dict)
    conversions: tuple[str, ...] = ()
    code_place: str = ""
    parity_inputs: str = "standard normal noise"
    allow_flat_output: bool = False
    quantization: Quantization | None = None
    app: AppInterface | None = None
    schema_version: int = SCHEMA_VERSION
    folder: Path = field(default=Path(), compare=False, repr=False, metadata={"stored": False})

    def artifact(self, format_name: str) -> Artifact:
        """Return the artifact of one format.

        Raises:
            InputError: The set has no file of that format.
        """
        for artifact in self.artifacts:
            if artifact.format == format_name:
                return artifact
        for missing in self.missing_formats:
            if missing.format == format_name:
                raise InputError(f"{self.stem} has no {format_name} file: {missing.reason}")
        have = ", ".join(a.format for a in self.artifacts)
        raise InputError(f"{self.stem} has no {format_name} file; it has {have}")

    @property
    def source(self) -> tuple[str, str, str]:
        """Return what network this is of: model, variant and data set."""
        return self.model, self.variant, self.dataset

    @property
    def files(self) -> tuple[Artifact | ReferenceData, ...]:
        """Return every file of the set besides the manifest."""
        return (*self.artifacts, self.reference)

    def path(self, artifact: Artifact | ReferenceData) -> Path:
        """Return where an artifact or the reference data of this set lies."""
        return self.folder / artifact.file

    def save(self, folder: Path) -> Path:
        """Write the manifest beside its files, whole or not at all, and return its path."""
        path = folder / f"{self.stem}.json"
        atomic_write(path, json.dumps(to_plain(self), indent=2, allow_nan=False) + "\n")
        return path


def load_manifest(path: str | Path, *, verify: bool = True) -> Manifest:
    """Read a manifest and verify that its files are the ones it describes.

    Args:
        path: The ``.json`` file.
        verify: Compare the size and SHA-256 of every file; False reads the manifest only.

    Raises:
        InputError: The file is missing, no manifest, or of another schema version.
        IntegrityError: A file is missing or its content is not what the manifest says.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the manifest {path}: {(error.strerror or '').lower()}"
        ) from error
    plain = decode_json(dict[str, Any], text, what=f"the manifest {path}")
    if "schema_version" not in plain:
        raise InputError(f"{path} is no manifest: it has no schema_version")
    if plain["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{path} has manifest schema {plain['schema_version']}, this version reads "
            f"{SCHEMA_VERSION}; build the artifacts again"
        )
    manifest = from_plain(Manifest, plain, what=f"the manifest {path}")
    for stored in manifest.files:
        _require_plain_name(stored.file, path)
    for artifact in manifest.artifacts:
        if not artifact.inputs or not artifact.outputs:
            raise InputError(
                f"{path} tells no inputs or no outputs of {artifact.file}; build the artifacts "
                "again"
            )
    manifest = dataclasses.replace(manifest, folder=path.parent)
    if verify:
        for stored in manifest.files:
            _verify_file(manifest.path(stored), stored.size_bytes, stored.sha256)
    return manifest


def _require_plain_name(file: str, manifest: Path) -> None:
    """Refuse a file that does not lie beside its manifest: ``../secret`` is no file of a set."""
    if not file or file in (".", "..") or "/" in file or "\\" in file or "\0" in file:
        raise InputError(
            f"{manifest} names the file {file!r}, which does not lie beside it; build the "
            "artifacts again"
        )


def _verify_file(path: Path, size_bytes: int, sha256: str) -> None:
    if not path.is_file():
        raise IntegrityError(f"{path} is missing; build the artifacts again")
    if path.stat().st_size != size_bytes:
        raise IntegrityError(
            f"{path} has {path.stat().st_size} bytes, its manifest says {size_bytes}; "
            "build the artifacts again"
        )
    if (found := sha256_file(path)) != sha256:
        raise IntegrityError(
            f"{path} has SHA-256 {found[:12]}..., its manifest says {sha256[:12]}...; "
            "build the artifacts again"
        )
