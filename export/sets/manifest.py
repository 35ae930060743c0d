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

from export.sets.files import atomic_write, sha256_file
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

PARITY_LIMIT = 1e-4
"""Relative L-infinity distance that float32 outputs may have, here and on a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a file: what to feed it or read from it.

    Attributes:
        name: The tensor's name in the file.
        shape: Its shape, in the order `layout` names; where the batch is open, with the least.
        dtype: NumPy's name, as ``float32``.
        layout: ``NCHW`` or ``NHWC`` for images, ``NC`` for rows of scores, else empty.
        scale: Of a tensor of 8-bit integers, which stand for scale * (integer - zero_point);
            None where the tensor holds its numbers themselves.
        zero_point: The integer that stands for zero.
        batch: The least and the largest first dimension that the file takes; None where it is
            fixed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str = ""
    scale: float | None = None
    zero_point: int | None = None
    batch: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """An operator that stayed outside the delegate.

    Attributes:
        op: The operator's name in the format's own terms.
        count: How many of them.
        cause: Why the delegate did not take it.
        mac_share: Its share of the network's multiply-accumulates, 0 to 1.
        fix: What to change in the module.
    """

    op: str
    count: int
    cause: str
    mac_share: float
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a file's outputs are from a float64 run of the same module.

    Those of an 8-bit file are compared with this project's own integer arithmetic instead: see
    `Artifact.cost` for what they lose.

    Attributes:
        samples: How many seeded inputs were run.
        relative_linf: max |file - float64| / max |float64|, worst over samples.
        sqnr_db: Signal to quantisation noise ratio in dB, worst over samples.
        eager_relative_linf: The same distance for PyTorch's own run in float32, or with every value
            rounded to half for ``fp16``; None where the module refuses float64 and its float32
            run is the yardstick.
        limit: The relative L-infinity distance that was allowed.
    """

    samples: int
    relative_linf: float
    sqnr_db: float
    eager_relative_linf: float | None
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionCost:
    """What a file of lower precision loses against the float32 network.

    Attributes:
        samples: How many samples it was measured on; the calibration saw none of them.
        data: What those were, where the calibration does not say it.
        arm_sqnr_db: Of ``fp16``: the ratio of a run that also adds up in half, as ARM cores do, on
            some of the samples; this computer adds up in float32 and loses less.
        sqnr_db: Signal to quantisation noise ratio of the first output in dB, over all samples.
        agreement: How often both give the same best class; None where outputs are no rows of
            scores.
        float_top1: How often the float32 network's best class is the label; None without labels.
        top1: How often the file's best class is the label; None without labels.
    """

    samples: int
    sqnr_db: float
    agreement: float | None = None
    float_top1: float | None = None
    top1: float | None = None
    data: str = ""
    arm_sqnr_db: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """A value inside the network that is stored in 8 bits.

    Its integers are int8 and stand for scale * (integer - zero_point); the ``.onnx`` has uint8,
    whose zero point is 128 more.

    Attributes:
        name: In the ``.onnx``, the name of the tensor in front of its QuantizeLinear.
        module: Path of the submodule that makes it; empty for the network itself.
        scale: What one integer stands for.
        zero_point: The integer that stands for zero.
    """

    name: str
    module: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LossLimit:
    """Which layers had to stay in float so that no more is lost than was allowed.

    Attributes:
        max_loss: Percentage points of `counts` that may be lost.
        counts: ``top-1`` where the labels are known, else ``top-1 agreement`` with the float
            network.
        samples: How many samples that was chosen on; the loss in `Artifact.cost` is of others.
        layers: What stays in float, the worst first.
        loss_without: Points lost with nothing in float for the sake of this.
        loss: Points lost as the files are.
    """

    max_loss: float
    counts: str
    samples: int
    layers: tuple[str, ...]
    loss_without: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatPrice:
    """What the layers in float cost one file, against the file with none of them in float.

    Attributes:
        format: ``pte``, ``onnx`` or ``tflite``.
        delegates: Delegate calls of the file with none; None where the format has none.
        size_bytes: Of the file with none.
        time_ratio: Median time of the file over that of the file with none, of turns by both on
            the computer that built them: no phone's.
        machine: That computer's processor.
    """

    format: str
    delegates: int | None
    size_bytes: int
    time_ratio: float
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a set's 8-bit integers were chosen.

    Attributes:
        recipe: How ranges and biases were found.
        calibration: What the ranges were found on.
        is_synthetic: Whether that was noise, so that accuracy means nothing.
        samples: How many samples that were.
        seed: Of the choice of samples, or of the noise.
        inputs: Scale and zero point of each input's integers, in the file or behind its first
            operator.
        outputs: The same of each output.
        kept_float: What computes in float32, a line each: operator and cause.
        values: What operators compute and store in 8 bits, in order; what is only moved keeps its
            scale, as the result of a concatenation.
        keep_float: Modules and layers that were asked to stay in float.
        loss_limit: How more were chosen; None where no loss was given.
        float_prices: What those layers cost.
    """

    recipe: str
    calibration: str
    is_synthetic: bool
    samples: int
    seed: int
    inputs: tuple[tuple[float, int], ...]
    outputs: tuple[tuple[float, int], ...]
    kept_float: tuple[str, ...] = ()
    values: tuple[StoredValue, ...] = ()
    keep_float: tuple[str, ...] = ()
    loss_limit: LossLimit | None = None
    float_prices: tuple[FloatPrice, ...] = ()


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
class Artifact:
    """One published file.

    Attributes:
        file: Its name, beside the manifest.
        format: ``pte``, ``onnx`` or ``tflite``.
        backend: The delegate the file was lowered for, empty where the format has none.
        precision: ``fp32``, ``fp16`` or ``int8``.
        sha256: Of the whole file.
        size_bytes: Of the whole file.
        inputs: What to feed it, in order.
        outputs: What to read from it, in order.
        delegates: How many delegate calls the runtime makes; None where the format has none.
        leftovers: Operators outside the delegate.
        parity: Its distance from the float64 run.
        build_seconds: Wall seconds of each step that made this file alone.
        cost: What its precision costs; None for float32.
    """

    file: str
    format: str
    backend: str
    precision: str
    sha256: str
    size_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegates: int | None
    leftovers: tuple[Leftover, ...]
    parity: Parity
    build_seconds: Mapping[str, float]
    cost: PrecisionCost | None = None

    @property
    def least_batch(self) -> int:
        """Return the least batch of a file that leaves it open, 0 for the others."""
        return next((spec.batch[0] for spec in self.inputs if spec.batch is not None), 0)


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
