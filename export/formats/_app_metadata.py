"""What a ``.tflite`` tells an app's library of its image and its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from export.onnx_to_tflite.app_metadata import AppMetadata, AppTensor
from export.sets.manifest import AppInterface, TensorSpec

if TYPE_CHECKING:  # a set that is unchanged is found without loading torch
    from export.graph.program import Program

__all__ = ["describe_for_apps"]

_WHITE = 255.0
_COLOURS = {1: "GRAYSCALE", 3: "RGB"}


def describe_for_apps(
    program: Program, name: str, image: Mapping[str, Any], app: AppInterface | None
) -> AppMetadata | None:
    """Return what the metadata say; None for a network that takes no image they can describe.

    Args:
        program: Whose inputs and outputs they are.
        name: Of the network.
        image: What the files take, with ``mean`` and ``std``; empty where unknown.
        app: What the files do for an app.
    """
    app = app or AppInterface()
    if "mean" not in image or len(program.inputs) != 1 or len(image["mean"]) not in _COLOURS:
        return None
    if image.get("colour_order", "RGB") != "RGB":
        return None
    return AppMetadata(
        name=name,
        inputs=(_describe_image(program.inputs[0], image),),
        outputs=_describe_outputs(program.outputs, app),
        labels=app.labels,
    )


def _describe_image(spec: TensorSpec, image: Mapping[str, Any]) -> AppTensor:
    colours = _COLOURS[len(image["mean"])]
    if spec.dtype != "float32":  # bytes are taken as they are
        return AppTensor(name=spec.name, colours=colours)
    low, high = image.get("value_range", (0.0, 1.0))
    step = (high - low) / _WHITE
    means = [(mean - low) / step for mean in image["mean"]]
    stds = [std / step for std in image["std"]]
    if len(set(zip(means, stds, strict=True))) == 1:  # MediaPipe takes no more than one
        means, stds = means[:1], stds[:1]
    return AppTensor(
        name=spec.name,
        colours=colours,
        mean=tuple(means),
        std=tuple(stds),
        least=tuple(-mean / std for mean, std in zip(means, stds, strict=True)),
        most=tuple((_WHITE - mean) / std for mean, std in zip(means, stds, strict=True)),
    )


def _describe_outputs(specs: Sequence[TensorSpec], app: AppInterface) -> tuple[AppTensor, ...]:
    def kind(spec: TensorSpec) -> Any:
        if not app.labels:
            return ""
        if spec.dtype == "int32":  # of a head that tells places
            return "value"
        return "axis" if app.head in ("none", "softmax") else ""

    return tuple(AppTensor(name=spec.name, labels=kind(spec)) for spec in specs)
