"""What an app would do around a network, done inside: normalise pixels, finish the answer.

The module below is the plain PyTorch pipeline, from pixels to labels. It is what the files are
held to; that its arithmetic is then folded into the first convolution is a rewrite of the graph
(`export.passes.fold_normalisation`), checked like any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from export.request.app import AppOptions, LabelSource, parse_head
from export.sets.manifest import AppInterface
from pfd_models.errors import DataError, ModuleError, SpecError

if TYPE_CHECKING:
    from export.network.network import Network

__all__ = ["AppNetwork", "wrap_for_app"]

_MOST_LABEL_BYTES = 2**20


class AppNetwork(nn.Module):
    """A network between an app's pixels and its answer.

    Args:
        network: Takes (N, C, H, W), normalised, and returns (N, classes) where there is a head.
        mean: Subtracted from each channel of pixels in 0..1; empty where nothing is.
        std: Each channel is divided by it.
        takes_bytes: Take uint8 (N, H, W, C) instead of floats in 0..1.
        head: As in `AppOptions`.

    Shape:
        float32 (N, C, H, W) or uint8 (N, H, W, C) -> what the network returns; with a head a
        dictionary: ``probabilities`` float32 (N, classes), or ``label`` int32 (N,), or
        ``scores`` float32 and ``labels`` int32 of (N, K), the best first.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        takes_bytes: bool = False,
        head: str = "none",
    ) -> None:
        super().__init__()
        self.network = network
        self.normalises = bool(set(mean) - {0.0} or set(std) - {1.0})
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.takes_bytes, self.head, self.count = takes_bytes, head, parse_head(head)

    def forward(self, image: Tensor) -> Any:
        """Run the pipeline."""
        if self.takes_bytes:
            # First the type: a delegate turns floats and no bytes.
            image = image.to(self.mean.dtype).permute(0, 3, 1, 2) / 255
        if self.normalises:
            image = (image - self.mean) / self.std
        scores = self.network(image)
        if self.head == "softmax":
            return {"probabilities": scores.softmax(1)}
        if self.head == "argmax":
            return {"label": scores.argmax(1).to(torch.int32)}
        if self.count:
            best, places = scores.topk(self.count, dim=1)
            return {"scores": best, "labels": places.to(torch.int32)}
        return scores


def wrap_for_app(network: Network, options: AppOptions) -> Network:
    """Return the network with what an app wants around it; itself where it wants nothing.

    Raises:
        SpecError: Nothing says how to normalise, the network takes no single image, its output
            has no classes or fewer than the head asks for.
        DataError: The labels cannot be read, or are more or fewer than the classes.
        ModuleError: The network does not run on zeros.
    """
    if options == AppOptions():
        return network
    image = _find_normalisation(network, options)
    preprocess, note = options.preprocess, ""
    if preprocess == "metadata" and len(set(zip(image["mean"], image["std"], strict=True))) > 1:
        preprocess = "baked"
        note = (
            "the metadata of a .tflite hold one mean and one deviation for MediaPipe and this "
            "network has one of each for every channel: they were folded into the graph instead"
        )
    inside = preprocess in ("baked", "uint8")
    labels = _find_labels(network, options)
    app = AppInterface(
        preprocess=preprocess,
        mean=tuple(image["mean"]) if inside else (),
        std=tuple(image["std"]) if inside else (),
        head=options.head,
        labels=labels,
    )
    module = AppNetwork(
        network.module,
        mean=app.mean,
        std=app.std,
        takes_bytes=preprocess == "uint8",
        head=options.head,
    ).eval()
    (taken,) = network.inputs if inside else (None,)
    spec = dict(network.spec)
    if image:
        spec["input"] = _describe_input(image, preprocess) if inside else dict(image)
    stem = network.stem.removesuffix("_fp32")
    parts = [part for part in (preprocess, options.head.replace(":", "")) if part != "none"]
    wrapped = dataclasses.replace(
        network,
        module=module,
        spec=spec,
        stem="_".join([stem, *parts, "fp32"]),
        notes=(*network.notes, note) if note else network.notes,
        app=app,
    )
    if preprocess == "uint8" and taken is not None:
        n, c, h, w = taken.shape
        turned = dataclasses.replace(taken, shape=(n, h, w, c), dtype="uint8")
        wrapped = dataclasses.replace(wrapped, inputs=(turned,))
    return wrapped


def _find_normalisation(network: Network, options: AppOptions) -> dict[str, Any]:
    """Return the specification of the image, with the request's mean and deviation if it has any.

    It is empty where nobody wants to know.
    """
    image = dict(network.spec.get("input", {}))
    if options.mean and "mean" in image:
        raise SpecError(
            f"--mean and --std go with --module; {network.name} says itself how it is normalised"
        )
    if options.mean:
        image |= {"mean": options.mean, "std": options.std, "value_range": (0.0, 1.0)}
        image |= {"colour_order": "RGB"}
    if options.preprocess == "none" and not options.mean:
        return image
    if "mean" not in image:
        raise SpecError(
            f"--preprocess {options.preprocess}: nothing says how {network.name} is normalised; "
            "say it, as --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 (--mean 0,0,0 --std 1,1,1 "
            "where it takes 0..1)"
        )
    channels = len(image["mean"])
    if len(network.shapes) != 1 or len(network.shapes[0]) != 4:
        raise SpecError(f"--preprocess needs one image, (N, C, H, W); it takes {network.shapes}")
    if network.shapes[0][1] != channels or network.dtypes != ("float32",):
        raise SpecError(
            f"{channels} means and the input is {network.dtypes[0]} {network.shapes[0]}; give a "
            "float32 input (N, C, H, W) and one mean for every channel"
        )
    return image


def _describe_input(image: dict[str, Any], preprocess: str) -> dict[str, Any]:
    """Say what the files take instead of what the network took."""
    channels = len(image["mean"])
    plain = {**image, "mean": [0.0] * channels, "std": [1.0] * channels}
    if preprocess == "uint8":
        return {**plain, "value_range": [0.0, 255.0], "layout": "NHWC"}
    return {**plain, "value_range": [0.0, 1.0]}


def _find_labels(network: Network, options: AppOptions) -> tuple[str, ...]:
    """Return the names of the classes, after holding head and names to what the network returns."""
    if options.head == "none" and options.labels is None:
        return ()
    wish = f"--head {options.head}" if options.head != "none" else "--labels"
    classes = _count_classes(network, wish)
    if (count := parse_head(options.head)) > classes:
        raise SpecError(f"--head topk:{count} of {classes} classes; give {classes} or fewer")
    if options.labels is None:
        return ()
    labels = _read_labels(network, options.labels)
    if len(labels) != classes:
        raise DataError(
            f"--labels {options.labels.place or 'dataset'} has {len(labels)} names, "
            f"{network.name} has {classes} classes; give a name for each"
        )
    return labels


def _count_classes(network: Network, wish: str) -> int:
    from export.network.network import make_zeros

    try:
        with torch.no_grad():
            output = network.module(*make_zeros(network.inputs, torch.float32))
    except Exception as error:  # a user's code may raise anything
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModuleError(f"{network.name} does not run on zeros: {line}") from error
    if not isinstance(output, Tensor) or output.dim() != 2 or not output.is_floating_point():
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise SpecError(
            f"{wish} needs one output of scores, (N, classes); {network.name} returns {shape}; "
            "leave it out, or return the scores alone"
        )
    return int(output.shape[1])


def _read_labels(network: Network, source: LabelSource) -> tuple[str, ...]:
    if source.kind == "dataset":
        from pfd_models.training.datasets import open_splits

        name = source.place or network.dataset
        if not name:
            raise SpecError(f"--labels dataset: {network.name} has none; give dataset:NAME")
        return open_splits(name, source.data_root).classes
    path = Path(source.place)
    try:
        if path.stat().st_size > _MOST_LABEL_BYTES:
            raise DataError(f"--labels {path} has {path.stat().st_size} bytes; is it a text file?")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise DataError(f"--labels {path} cannot be read: {reason.lower()}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if empty := [i + 1 for i, line in enumerate(lines) if not line.strip()]:
        raise DataError(f"--labels {path}: line {empty[0]} is empty; give one name a line")
    if odd := [i + 1 for i, line in enumerate(lines) if "\0" in line]:
        raise DataError(f"--labels {path}: line {odd[0]} holds a zero byte; is it a text file?")
    return tuple(line.strip() for line in lines)
