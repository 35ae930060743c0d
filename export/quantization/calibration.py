"""Read the samples that a network is calibrated on, and others that its loss is measured on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from export.network.inputs import fill_dtypes, make_inputs
from export.network.network import Network
from export.network.pixels import pixel_range, to_bytes, to_image_shape
from export.network.reading import choose_normaliser, decode_pixels, read_arrays, require_image
from export.request.calibration import MOST_SPARE, CalibrationSource
from export.request.request import BuildRequest
from pfd_models.errors import DataError

if TYPE_CHECKING:
    from pfd_models.training.datasets import Split

__all__ = ["CalibrationData", "load_calibration", "load_network_calibration"]

_LARGER = 256 / 224
"""An image's shorter side over the network's, before the centre is cut out: ImageNet's custom."""

_HELD_STREAM = 7_000_003
"""Added to the seed of noise to measure on, so that it is other noise."""

_OPTION = "--calibration"

_Sample = TypeVar("_Sample")
_Labelled: TypeAlias = tuple[list[_Sample], tuple[int, ...]]
"""Samples, and the class of each image in them; empty where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationData:
    """Samples as the network is fed.

    Attributes:
        samples: To calibrate on, each a tensor per input, batch first.
        held: To measure on; none of them is in `samples`.
        labels: Class of each image of `held`, in order; empty where nobody knows.
        choosing: To choose between networks on: others than `held`, and others than `samples`
            where there are more.
        choosing_labels: Class of each image of `choosing`.
    """

    samples: list[tuple[Tensor, ...]]
    held: list[tuple[Tensor, ...]]
    labels: tuple[int, ...] = ()
    choosing: list[tuple[Tensor, ...]] = field(default_factory=list)
    choosing_labels: tuple[int, ...] = ()


def load_network_calibration(
    request: BuildRequest,
    network: Network,
    source: CalibrationSource,
    *,
    choosing: bool = False,
) -> CalibrationData:
    """Load a source as a network of a request takes it.

    Args:
        request: Its range of values.
        network: As it is captured.
        source: What the user named.
        choosing: As in `load_calibration`.

    Raises:
        SpecError: There is no such data set.
        DataError: The data cannot be read, do not fit the network, or are all alike.
    """
    image = network.spec.get("input", {})
    values = pixel_range(network.app)
    takes_bytes = network.app is not None and network.app.preprocess == "uint8"
    if not takes_bytes or source.kind == "npz":  # arrays are as the network is fed
        return load_calibration(
            source,
            network.shapes,
            image,
            values or request.input_range,
            network.dtypes,
            choosing=choosing,
        )
    shapes = tuple(map(to_image_shape, network.shapes))
    data = load_calibration(source, shapes, image, values, choosing=choosing)
    return dataclasses.replace(
        data,
        samples=[_to_bytes(sample) for sample in data.samples],
        held=[_to_bytes(sample) for sample in data.held],
        choosing=[_to_bytes(sample) for sample in data.choosing],
    )


def _to_bytes(sample: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(to_bytes(tensor.numpy())) for tensor in sample)


def load_calibration(
    source: CalibrationSource,
    shapes: Sequence[tuple[int, ...]],
    image: Mapping[str, Any],
    value_range: tuple[float, float] | None = None,
    dtypes: Sequence[str] = (),
    *,
    choosing: bool = False,
) -> CalibrationData:
    """Load a source for a network.

    Args:
        source: What the user named.
        shapes: Of the network's inputs, batch first.
        image: How the network wants its image, with ``mean`` and ``std``; empty where unknown.
        value_range: What pixels of 0 and 255 become, where `image` does not say it; of noise its
            lowest and highest value.
        dtypes: NumPy's name for each input, float32 where nothing is said.
        choosing: Read more of it, to choose between networks on.

    Raises:
        DataError: The data cannot be read, do not fit the network, or are all alike.
        SpecError: There is no such data set.
    """
    if source.kind == "synthetic":
        data = _make_noise(source, shapes, value_range, dtypes, choosing)
    elif source.kind == "npz":
        data = _load_arrays(source, shapes, dtypes, choosing)
    else:
        require_image(_OPTION, source.place, shapes)
        (dtype,) = fill_dtypes(shapes, dtypes)
        data = _load_images(source, shapes[0], image, value_range, dtype, choosing)
    _require_variety(source, data)
    return data


def _make_noise(
    source: CalibrationSource,
    shapes: Sequence[tuple[int, ...]],
    value_range: tuple[float, float] | None,
    dtypes: Sequence[str],
    choosing: bool,
) -> CalibrationData:
    count, held, _ = source.split(2 * source.count)

    def make(place: int, images: int) -> _Labelled[tuple[Tensor, ...]]:
        seed, rounds = source.seed + place * _HELD_STREAM, -(-images // shapes[0][0])
        arrays = make_inputs(shapes, seed, rounds, value_range, dtypes=dtypes)
        return [tuple(map(torch.from_numpy, sample)) for sample in arrays], ()

    return _assemble(make(0, count), make(1, held), make(2, count if choosing else 0))


def _require_variety(source: CalibrationSource, data: CalibrationData) -> None:
    everything = [t for part in (data.samples, data.held, data.choosing) for s in part for t in s]
    if not all(bool(torch.isfinite(t).all()) for t in everything if t.is_floating_point()):
        raise DataError(f"{_OPTION} {source.place} holds values that are not finite")
    for index in range(len(data.samples[0])):
        tensors = [sample[index] for sample in data.samples]
        if min(float(t.min()) for t in tensors) == max(float(t.max()) for t in tensors):
            raise DataError(
                f"{_OPTION} {source.place}: every value of every sample is "
                f"{float(tensors[0].reshape(-1)[0]):g}, which tells no range; give real images"
            )


def _load_arrays(
    source: CalibrationSource,
    shapes: Sequence[tuple[int, ...]],
    dtypes: Sequence[str],
    choosing: bool,
) -> CalibrationData:
    path, batch = Path(source.place), shapes[0][0]
    columns, labels = read_arrays(_OPTION, path, shapes, dtypes)
    found = len(columns[0])
    if found < 2:
        raise DataError(
            f"{_OPTION} {path} holds {found} samples; give 2 or more, some to calibrate on and "
            "some to measure on"
        )
    if labels is not None:
        _require_classes(path, labels, images=found * batch, batch=batch)
    used, held, spare = source.split(found)
    ends = np.cumsum((0, used, held, spare if choosing else 0))
    order = np.random.Generator(np.random.PCG64(source.seed)).permutation(found)

    def part(index: int) -> tuple[list[tuple[Tensor, ...]], tuple[int, ...]]:
        chosen = order[ends[index] : ends[index + 1]]
        known = [] if labels is None else [labels[i * batch : (i + 1) * batch] for i in chosen]
        return [tuple(torch.from_numpy(c[i]) for c in columns) for i in chosen], tuple(
            int(label) for of_batch in known for label in of_batch
        )

    return _assemble(part(0), part(1), part(2))


def _require_classes(path: Path, labels: npt.NDArray[Any], *, images: int, batch: int) -> None:
    """Refuse labels that are no class for each image; images beyond whole batches may have one."""
    fits = labels.ndim == 1 and images <= len(labels) < images + batch
    if not fits or labels.dtype.kind not in "iu" or (labels < 0).any():
        raise DataError(
            f"{_OPTION} {path}: labels is {labels.dtype} of shape {labels.shape}"
            + (", some of it negative" if fits and labels.dtype.kind == "i" else "")
            + f"; give the number of its class, from 0 on, for each of the {images} images"
        )


def _load_images(
    source: CalibrationSource,
    shape: tuple[int, ...],
    image: Mapping[str, Any],
    value_range: tuple[float, float] | None,
    dtype: str,
    choosing: bool,
) -> CalibrationData:
    normalise = choose_normaliser(_OPTION, source.place, image, value_range)
    if source.kind == "folder":
        parts = _read_folder(source, shape, choosing)
    else:
        parts = _read_dataset(source, shape, choosing)

    def as_fed(part: _Labelled[Tensor]) -> _Labelled[tuple[Tensor, ...]]:
        pixels, labels = part
        batches = _fill(pixels, shape[0])
        return [(normalise(b).to(getattr(torch, dtype)),) for b in batches], labels

    return _assemble(*map(as_fed, parts))


def _assemble(
    samples: _Labelled[tuple[Tensor, ...]],
    held: _Labelled[tuple[Tensor, ...]],
    spare: _Labelled[tuple[Tensor, ...]],
) -> CalibrationData:
    """Put the parts together; where nothing is spare, the samples must do."""
    choosing, choosing_labels = spare if spare[0] else samples
    return CalibrationData(
        samples=samples[0],
        held=held[0],
        labels=held[1],
        choosing=choosing,
        choosing_labels=choosing_labels,
    )


def _fill(pixels: list[Tensor], batch: int) -> list[Tensor]:
    """Stack images to batches; the last one is filled up with its last image."""
    groups = [pixels[i : i + batch] for i in range(0, len(pixels), batch)]
    return [torch.stack([*g, *[g[-1]] * (batch - len(g))]) for g in groups]


def _read_folder(
    source: CalibrationSource, shape: tuple[int, ...], choosing: bool
) -> list[_Labelled[Tensor]]:
    used, held, spare = source.files()
    return [
        ([_read(path, shape) for path in files], ())
        for files in (used, held, spare if choosing else [])
    ]


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    from torchvision.transforms.v2 import functional

    pixels = decode_pixels(_OPTION, path, shape[1])
    height, width = shape[2:]
    if pixels.shape[1:] != (height, width):
        factor = _LARGER * max(height / pixels.shape[1], width / pixels.shape[2])
        larger = [max(round(pixels.shape[i + 1] * factor), shape[i + 2]) for i in range(2)]
        pixels = functional.resize(pixels, larger, antialias=True)
        pixels = functional.center_crop(pixels, [height, width])
    return pixels


def _read_dataset(
    source: CalibrationSource, shape: tuple[int, ...], choosing: bool
) -> list[_Labelled[Tensor]]:
    from pfd_models.training.datasets import find_image_set, open_splits

    name, data = find_image_set(source.place)
    splits = open_splits(name, source.data_root)
    prepare = data.prepare(shape[2])

    def read(split: Split, first: int, count: int) -> _Labelled[Tensor]:
        generator = np.random.Generator(np.random.PCG64(source.seed))
        chosen = generator.permutation(len(split.labels))[first : first + count]
        return [prepare(split.picture(int(i))) for i in chosen], tuple(
            int(split.labels[int(i)]) for i in chosen
        )

    parts = [
        read(splits.train, 0, source.count),
        read(splits.val, 0, source.count),
        read(splits.train, source.count, MOST_SPARE * source.count if choosing else 0),
    ]
    pixels = parts[0][0]
    if pixels[0].shape != shape[1:]:
        raise DataError(
            f"the images of {name} become {tuple(pixels[0].shape)}, the network takes "
            f"{tuple(shape[1:])}; give a network for such images"
        )
    return parts
