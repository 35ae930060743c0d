"""One measured file, as its manifest described it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from android_bench.records.field_checks import at_least, ordered, sha256_digits, texts
from export.sets.manifest import Artifact, Manifest

__all__ = ["ArtifactRecord", "artifact_record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """One measured file, as its manifest described it.

    Attributes:
        sha256: Of the whole file.
        file: Its name.
        format: ``pte``, ``onnx`` or ``tflite``.
        model: Registered name, or ``module:factory``.
        variant: The variant's name; empty for a user's module.
        dataset: The data-set shape's name; empty for a user's module.
        resolution: Height and width of the input in pixels; None where they differ or are unknown.
        precision: ``fp32``, ``fp16`` or ``int8``.
        calibration: What an ``int8`` file was calibrated on; empty where it was not.
        backend: The delegate it was lowered for, empty where the format has none.
        size_bytes: Of the whole file.
        delegates: Delegate calls of one inference; None where the format has none.
        leftovers: Operators outside the delegate; None where that was not counted.
        build_id: The manifest's.
        params: Trainable parameters; None when unknown.
        macs: Multiply-accumulates of one inference; None when unknown.
        versions: Package name to version, of the exporter.
    """

    sha256: str
    file: str
    format: str
    model: str
    variant: str
    dataset: str
    resolution: int | None
    precision: str
    backend: str
    size_bytes: int
    delegates: int | None
    leftovers: int | None = None
    build_id: str
    params: int | None = None
    macs: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    calibration: str = ""

    def __post_init__(self) -> None:
        """Check every field."""
        sha256_digits(self, "sha256")
        texts(self, "file", "format", "model", "precision", "build_id")
        at_least(self, 1, "resolution", "size_bytes")
        at_least(self, 0, "delegates", "leftovers", "params", "macs")
        object.__setattr__(self, "versions", ordered(self.versions))


def artifact_record(manifest: Manifest, artifact: Artifact) -> ArtifactRecord:
    """Return what the bench stores about one file of a manifest."""
    sides = {artifact.inputs[0].shape[i] for i in _image_axes(artifact.inputs[0].layout)}
    return ArtifactRecord(
        sha256=artifact.sha256,
        file=artifact.file,
        format=artifact.format,
        model=manifest.model,
        variant=manifest.variant,
        dataset=manifest.dataset,
        resolution=sides.pop() if len(sides) == 1 else None,
        precision=artifact.precision,
        backend=artifact.backend,
        size_bytes=artifact.size_bytes,
        delegates=artifact.delegates,
        leftovers=sum(left.count for left in artifact.leftovers),
        build_id=manifest.build_id,
        params=manifest.params,
        macs=manifest.macs,
        versions=manifest.versions,
        calibration=manifest.quantization.calibration if manifest.quantization else "",
    )


def _image_axes(layout: str) -> tuple[int, ...]:
    return {"NCHW": (2, 3), "NHWC": (1, 2)}.get(layout, ())
