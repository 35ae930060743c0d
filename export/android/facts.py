"""What the templates need to know of a set, read from its manifest and held to what they can."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from export.sets.manifest import PARITY_LIMIT, AppInterface, Artifact, Manifest, TensorSpec
from pfd_models.errors import InputError, unknown

__all__ = ["RUNTIMES", "AppFacts", "OutputFacts", "RuntimeFacts", "read_facts"]

RUNTIMES = {"litert": "tflite", "executorch": "pte"}
"""Runtimes of an app and the format each runs."""

_PACKAGES = {"litert": "ai-edge-litert", "executorch": "executorch"}
_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_KINDS = {"float32": "float", "int32": "int"}
# Head to name in code, type and axes of each output. A module's own names may be any text.
_ANSWERS = {
    "none": [("scores", "float32", 2)],
    "softmax": [("probabilities", "float32", 2)],
    "argmax": [("label", "int32", 1)],
    "topk": [("scores", "float32", 2), ("labels", "int32", 2)],
}
# Words that can be no part of a package: Java's, and the hard keywords of Kotlin beside them.
_JVM_WORD = re.compile(
    "abstract|assert|boolean|break|byte|case|catch|char|class|const|continue|default|do|double|else"
    "|enum|extends|false|final|finally|float|for|goto|if|implements|import|instanceof|int|interface"
    "|long|native|new|null|package|private|protected|public|return|short|static|strictfp|super"
    "|switch|synchronized|this|throw|throws|transient|true|try|void|volatile|while"
    "|as|fun|in|is|object|typealias|typeof|val|var|when"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFacts:
    """One output: its name in code, ``float`` or ``int``, and how many numbers it has."""

    name: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFacts:
    """One file and its runtime.

    Attributes:
        name: ``litert`` or ``executorch``.
        version: Of the runtime that the file was tested with.
        file: Its name.
        layout: ``nhwc`` or ``nchw``.
        shape: Of the input.
        limit: Relative L-infinity distance that its floats may have from the reference.
    """

    name: str
    version: str
    file: str
    layout: str
    shape: tuple[int, ...]
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFacts:
    """What the templates fill in.

    Attributes:
        stem: Of the set.
        package: Of the Kotlin sources.
        width: Of the image in pixels.
        height: Likewise.
        takes_bytes: Whether the files take uint8 pixels.
        low: What a pixel of 0 becomes before normalisation.
        high: What a pixel of 255 becomes.
        mean: Subtracted from each channel then; all 0 where the files normalise.
        std: Each channel is divided by it; all 1 where the files normalise.
        head: What the answer is: ``none``, ``softmax``, ``argmax`` or ``topk``.
        classes: How many there are; 0 where the outputs do not tell.
        labels: Their names, or none.
        outputs: In order.
        runtimes: What is written for.
        samples: How many reference inputs there are.
    """

    stem: str
    package: str
    width: int
    height: int
    takes_bytes: bool
    low: float
    high: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    head: str
    classes: int
    labels: tuple[str, ...]
    outputs: tuple[OutputFacts, ...]
    runtimes: tuple[RuntimeFacts, ...]
    samples: int

    @property
    def is_normalised_inside(self) -> bool:
        """Whether a pixel needs no more than its range."""
        return set(self.mean) == {0.0} and set(self.std) == {1.0}

    def runtime(self, name: str) -> RuntimeFacts | None:
        """Return what is written for a runtime; None where nothing is."""
        return next((r for r in self.runtimes if r.name == name), None)


def read_facts(manifest: Manifest, *, package: str, runtimes: Sequence[str]) -> AppFacts:
    """Read what the templates need.

    Raises:
        InputError: A name is no package or runtime, the set lacks a runtime's file, or it is no
            classifier of one image that an app could feed.
    """
    if not _PACKAGE.fullmatch(package):
        raise InputError(
            f"--package {package!r} is no Android package; write it as com.example.classifier"
        )
    if words := [w for w in package.split(".") if _JVM_WORD.fullmatch(w)]:
        raise InputError(
            f"--package {package!r} holds {words[0]!r}, a word of Java or Kotlin; give another"
        )
    for name in runtimes:
        if name not in RUNTIMES:
            raise InputError(unknown("runtime", name, RUNTIMES))
    artifacts = [(name, _find_artifact(manifest, name, runtimes)) for name in runtimes]
    app = manifest.app or AppInterface()
    image = _require_image(manifest, artifacts[0][1])
    low, high = image.get("value_range", (0.0, 1.0))
    head, _, _ = app.head.partition(":")
    outputs = _describe_outputs(manifest, head, artifacts[0][1].outputs)
    counts = {"none": outputs[0].count, "softmax": outputs[0].count}
    return AppFacts(
        stem=manifest.stem,
        package=package,
        height=int(image["height"]),
        width=int(image["width"]),
        takes_bytes=artifacts[0][1].inputs[0].dtype == "uint8",
        low=float(low),
        high=float(high),
        mean=tuple(map(float, image["mean"])),
        std=tuple(map(float, image["std"])),
        head=head,
        classes=counts.get(head, len(app.labels)),
        labels=app.labels,
        outputs=outputs,
        runtimes=tuple(_describe_runtime(manifest, name, a) for name, a in artifacts),
        samples=manifest.reference.samples,
    )


def _find_artifact(manifest: Manifest, runtime: str, runtimes: Sequence[str]) -> Artifact:
    try:
        return manifest.artifact(RUNTIMES[runtime])
    except InputError as error:
        have = {a.format for a in manifest.artifacts}
        others = [name for name, kind in RUNTIMES.items() if kind in have]
        advice = f"give --runtime {','.join(others)}" if others else "build it with more --formats"
        raise InputError(f"{error}; {advice}") from error


def _require_image(manifest: Manifest, artifact: Artifact) -> dict[str, Any]:
    """Return the specification of the image, with height and width as the files take it."""
    image = dict(manifest.spec.get("input", {}))
    if "mean" not in image:
        raise InputError(
            f"{manifest.stem}.json does not say how its image is normalised; build it with "
            "--mean and --std, or with --preprocess baked"
        )
    if len(artifact.inputs) != 1 or len(artifact.inputs[0].shape) != 4:
        raise InputError(f"{artifact.file} takes no single image; the sources are for those")
    tensor = artifact.inputs[0]
    if tensor.dtype not in ("float32", "uint8"):
        raise InputError(
            f"{artifact.file} takes {tensor.dtype} integers; build it without --io int8"
        )
    if tensor.batch is not None:
        raise InputError(
            f"{artifact.file} takes {tensor.batch[0]} to {tensor.batch[1]} images a call; the "
            "sources are for one: build it without a range of batches"
        )
    batch, *size = tensor.shape
    height, width, channels = size if _layout(manifest, tensor) == "nhwc" else (*size[1:], size[0])
    if batch != 1 or channels != 3:
        raise InputError(
            f"{artifact.file} takes {batch} image(s) of {channels} channel(s); the sources are for "
            "one RGB image"
        )
    return {**image, "height": height, "width": width}


def _layout(manifest: Manifest, tensor: TensorSpec) -> str:
    """Return the layout of the image; that of bytes is NHWC in every format."""
    takes_bytes = manifest.app is not None and manifest.app.preprocess == "uint8"
    return "nhwc" if takes_bytes else tensor.layout.lower()


def _describe_outputs(
    manifest: Manifest, head: str, specs: Sequence[TensorSpec]
) -> tuple[OutputFacts, ...]:
    wanted = _ANSWERS[head]
    found = [(spec.dtype, len(spec.shape)) for spec in specs]
    if found != [(dtype, axes) for _, dtype, axes in wanted] or any(s.shape[0] != 1 for s in specs):
        returned = ", ".join(f"{spec.name!r}, {spec.dtype} {spec.shape}" for spec in specs)
        raise InputError(
            f"{manifest.stem} returns {returned}; the sources are for classifiers, which return "
            "float32 scores (1, classes)"
        )
    return tuple(
        OutputFacts(
            name=name, kind=_KINDS[dtype], count=spec.shape[1] if len(spec.shape) == 2 else 1
        )
        for (name, dtype, _), spec in zip(wanted, specs, strict=True)
    )


def _describe_runtime(manifest: Manifest, name: str, artifact: Artifact) -> RuntimeFacts:
    tensor = artifact.inputs[0]
    return RuntimeFacts(
        name=name,
        version=manifest.versions.get(_PACKAGES[name], ""),
        file=artifact.file,
        layout=_layout(manifest, tensor),
        shape=tensor.shape,
        limit=max(PARITY_LIMIT, artifact.parity.limit),
    )
