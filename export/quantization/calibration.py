"""Read the samples that a network is calibrated on, and others that its loss is measured on."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from export.network.inputs import make_inputs
from export.network.network import Network
from export.network.pixels import pixel_range, to_bytes, to_image_shape
from export.request.calibration import CalibrationSource
from export.request.request import BuildRequest
from pfd_models.errors import DataError, SpecError

if TYPE_CHECKING:
    from pfd_models.training.datasets import Split

__all__ = ["CalibrationData", "load_calibration", "load_network_calibration"]

_LARGER = 256 / 224
"""An image's shorter side over the network's, before the centre is cut out: ImageNet's custom."""

_HELD_STREAM = 7_000_003
"""Added to the seed of noise to measure on, so that it is other noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationData:
    """Samples as the network is fed.

    Attributes:
        samples: To calibrate on, each a tensor per input, batch first.
        held: To measure on; none of them is in `samples`.
        labels: Class of each image of `held`, in order; empty where nobody knows.
    """

    samples: list[tuple[Tensor, ...]]
    held: list[tuple[Tensor, ...]]
    labels: tuple[int, ...] = ()


def load_network_calibration(request: BuildRequest, network: Network) -> CalibrationData:
    """Load the calibration of a request as the network takes it.

    Raises:
        SpecError: The request names nothing to calibrate on, or no such data set.
        DataError: The data cannot be read, do not fit the network, or are all alike.
    """
    source, image = request.calibration, network.spec.get("input", {})
    if source is None:
        raise SpecError("int8 needs --calibration")
    values = pixel_range(network.app)
    takes_bytes = network.app is not None and network.app.preprocess == "uint8"
    if not takes_bytes or source.kind == "npz":  # arrays are as the network is fed
        return load_calibration(
            source, network.shapes, image, values or request.input_range, network.dtypes
        )
    data = load_calibration(source, tuple(map(to_image_shape, network.shapes)), image, values)
    return dataclasses.replace(
        data,
        samples=[_to_bytes(sample) for sample in data.samples],
        held=[_to_bytes(sample) for sample in data.held],
    )


def _to_bytes(sample: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(to_bytes(tensor.numpy())) for tensor in sample)


def load_calibration(
    source: CalibrationSource,
    shapes: Sequence[tuple[int, ...]],
    image: Mapping[str, Any],
    value_range: tuple[float, float] | None = None,
    dtypes: Sequence[str] = (),
) -> CalibrationData:
    """Load a source for a network.

    Args:
        source: What the user named.
        shapes: Of the network's inputs, batch first.
        image: How the network wants its image, with ``mean`` and ``std``; empty where unknown.
        value_range: What pixels of 0 and 255 become, where `image` does not say it; of noise its
            lowest and highest value.
        dtypes: NumPy's name for each input, float32 where nothing is said.

    Raises:
        DataError: The data cannot be read, do not fit the network, or are all alike.
        SpecError: There is no such data set.
    """
    if source.kind == "synthetic":
        count, held = source.split(2 * source.count)
        rounds = [-(-n // shapes[0][0]) for n in (count, held)]
        samples, others = (
            make_inputs(shapes, seed, number, value_range, dtypes=dtypes)
            for seed, number in zip((source.seed, source.seed + _HELD_STREAM), rounds, strict=True)
        )
        data = CalibrationData(samples=_as_tensors(samples), held=_as_tensors(others))
    elif source.kind == "npz":
        data = _load_arrays(source, shapes, dtypes)
    else:
        _require_image(source, shapes)
        data = _load_images(source, shapes[0], image, value_range)
    _require_variety(source, data)
    return data


def _as_tensors(samples: list[list[np.ndarray[Any, Any]]]) -> list[tuple[Tensor, ...]]:
    return [tuple(map(torch.from_numpy, sample)) for sample in samples]


def _require_image(source: CalibrationSource, shapes: Sequence[tuple[int, ...]]) -> None:
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
        raise DataError(
            f"--calibration {source.place} holds images and the network takes {list(shapes)}; give "
            "an .npz with input_0, input_1, ... as it is fed"
        )


def _require_variety(source: CalibrationSource, data: CalibrationData) -> None:
    for index in range(len(data.samples[0])):
        tensors = [sample[index] for sample in data.samples]
        if not all(bool(torch.isfinite(t).all()) for t in tensors if t.is_floating_point()):
            raise DataError(f"--calibration {source.place} holds values that are not finite")
        if min(float(t.min()) for t in tensors) == max(float(t.max()) for t in tensors):
            raise DataError(
                f"--calibration {source.place}: every value of every sample is "
                f"{float(tensors[0].reshape(-1)[0]):g}, which tells no range; give real images"
            )


def _load_arrays(
    source: CalibrationSource, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]
) -> CalibrationData:
    path = Path(source.place)
    kinds = [*dtypes, *["float32"] * (len(shapes) - len(dtypes))]
    columns = []
    try:
        with np.load(path, allow_pickle=False) as stored:
            labels = stored.get("labels")
            for i, shape in enumerate(shapes):
                if f"input_{i}" not in stored:
                    has = ", ".join(stored) or "nothing"
                    raise DataError(f"--calibration {path} has no input_{i}; it has {has}")
                columns.append(_batches(path, f"input_{i}", stored[f"input_{i}"], shape, kinds[i]))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"--calibration {path} cannot be read as an .npz: {line}") from error
    found = min(map(len, columns))
    if found < 2:
        raise DataError(
            f"--calibration {path} holds {found} samples; give 2 or more, some to calibrate on and "
            "some to measure on"
        )
    used, held = source.split(found)
    samples = [tuple(column[i] for column in columns) for i in range(used + held)]
    batch = shapes[0][0]
    known = () if labels is None else tuple(map(int, labels[used * batch : (used + held) * batch]))
    return CalibrationData(samples=samples[:used], held=samples[used:], labels=known)


def _batches(
    path: Path, name: str, array: np.ndarray[Any, Any], shape: tuple[int, ...], dtype: str
) -> list[Tensor]:
    if array.dtype.kind not in "fiub" or array.ndim != len(shape) or array.shape[1:] != shape[1:]:
        wanted = ", ".join(map(str, shape[1:]))
        raise DataError(
            f"--calibration {path}: {name} is {array.dtype} of shape {array.shape}; the network "
            f"wants numbers of shape (samples, {wanted})"
        )
    whole = torch.from_numpy(np.ascontiguousarray(array, dtype=dtype))
    return list(whole[: len(whole) // shape[0] * shape[0]].split(shape[0]))


def _load_images(
    source: CalibrationSource,
    shape: tuple[int, ...],
    image: Mapping[str, Any],
    value_range: tuple[float, float] | None,
) -> CalibrationData:
    normalise = _normaliser(source, image, value_range)
    labels: tuple[int, ...] = ()
    if source.kind == "folder":
        files, held_files = source.files()
        pixels = [_read(path, shape) for path in files]
        held = [_read(path, shape) for path in held_files]
    else:
        pixels, held, labels = _read_dataset(source, shape)
    batch = shape[0]
    return CalibrationData(
        samples=[(normalise(b),) for b in _fill(pixels, batch)],
        held=[(normalise(b),) for b in _fill(held, batch)],
        labels=labels,
    )


def _normaliser(
    source: CalibrationSource, image: Mapping[str, Any], value_range: tuple[float, float] | None
) -> Any:
    if value_range is not None:
        low, high = value_range
        return lambda pixels: low + pixels.float() / 255 * (high - low)
    if "mean" not in image:
        raise DataError(
            f"--calibration {source.place}: nothing says what the pixel values 0 and 255 become "
            "for this module; say it, as --input-range 0,1, or give an .npz with input_0"
        )
    mean, std = (torch.tensor(image[key]).view(-1, 1, 1) for key in ("mean", "std"))
    return lambda pixels: (pixels.float() / 255 - mean) / std


def _fill(pixels: list[Tensor], batch: int) -> list[Tensor]:
    """Stack images to batches; the last one is filled up with its last image."""
    groups = [pixels[i : i + batch] for i in range(0, len(pixels), batch)]
    return [torch.stack([*g, *[g[-1]] * (batch - len(g))]) for g in groups]


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2 import functional

    try:
        pixels = decode_image(str(path), ImageReadMode.GRAY if shape[1] == 1 else ImageReadMode.RGB)
    except RuntimeError as error:
        line = str(error).splitlines()[0]
        raise DataError(f"--calibration: {path} cannot be read as an image: {line}") from error
    height, width = shape[2:]
    if pixels.shape[1:] != (height, width):
        factor = _LARGER * max(height / pixels.shape[1], width / pixels.shape[2])
        larger = [max(round(pixels.shape[i + 1] * factor), shape[i + 2]) for i in range(2)]
        pixels = functional.resize(pixels, larger, antialias=True)
        pixels = functional.center_crop(pixels, [height, width])
    result: Tensor = pixels
    return result


def _read_dataset(
    source: CalibrationSource, shape: tuple[int, ...]
) -> tuple[list[Tensor], list[Tensor], tuple[int, ...]]:
    from pfd_models.training.datasets import find_image_set, open_splits

    name, data = find_image_set(source.place)
    splits = open_splits(name, source.data_root)
    prepare = data.prepare(shape[2])

    def read(split: Split) -> tuple[list[Tensor], tuple[int, ...]]:
        generator = np.random.Generator(np.random.PCG64(source.seed))
        chosen = generator.permutation(len(split.labels))[: source.count]
        return [prepare(split.picture(int(i))) for i in chosen], tuple(
            int(split.labels[int(i)]) for i in chosen
        )

    pixels, _ = read(splits.train)
    held, labels = read(splits.val)
    if pixels[0].shape != shape[1:]:
        raise DataError(
            f"the images of {name} become {tuple(pixels[0].shape)}, the network takes "
            f"{tuple(shape[1:])}; give a network for such images"
        )
    return pixels, held, labels
