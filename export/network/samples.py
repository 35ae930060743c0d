"""The inputs that a user brings: images of a folder, or the arrays of an ``.npz``."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.network.inputs import Arrays, make_inputs
from export.request.request import BuildRequest
from export.request.samples import MOST_SAMPLES, list_samples, samples_digest
from pfd_models.errors import DataError

__all__ = ["choose_inputs", "load_arrays", "load_images"]


def choose_inputs(
    request: BuildRequest,
    shapes: Sequence[tuple[int, ...]],
    image: Mapping[str, Any],
    *,
    dtypes: Sequence[str] = (),
    integers_below: int = 2,
    value_range: tuple[float, float] | None = None,
) -> tuple[list[Arrays], str]:
    """Return what the network and its files are fed, and how the manifest calls it.

    Args:
        request: Its samples, range and seed.
        shapes: Of the network's inputs, batch first.
        image: How the network wants its image, with ``mean`` and ``std``; empty where unknown.
        dtypes: As in `make_inputs`.
        integers_below: As in `make_inputs`.
        value_range: In place of the request's.

    Raises:
        DataError: The samples cannot be read, or are none of this network.
    """
    values = value_range or request.input_range
    if request.samples is not None:
        if request.samples.is_dir():
            inputs = load_images(request.samples, shapes, values, image)
        else:
            inputs = load_arrays(request.samples, shapes)
        kinds = [*dtypes, *["float32"] * (len(shapes) - len(dtypes))]
        inputs = [
            [array.astype(kind) for array, kind in zip(sample, kinds, strict=True)]
            for sample in inputs
        ]
        digest = samples_digest(request.samples)[:16]
        return inputs, f"{len(inputs)} samples of {request.samples.name}, sha256 {digest}"
    inputs = make_inputs(
        shapes,
        request.seed,
        value_range=values,
        dtypes=dtypes,
        integers_below=integers_below,
    )
    if values is None:
        return inputs, "standard normal noise"
    low, high = values
    return inputs, f"noise from {low:g} to {high:g}"


def load_arrays(path: Path, shapes: Sequence[tuple[int, ...]]) -> list[Arrays]:
    """Read ``input_0``, ``input_1``, ... of an ``.npz``, as float32.

    Args:
        path: Each array is (samples, ...), a sample being of the input's shape, or of it without
            a batch of one.
        shapes: Of the network's inputs, batch first.

    Raises:
        DataError: It cannot be read, an array is missing or of another shape, or there are
            fewer than two samples.
    """
    columns = []
    try:
        with np.load(path, allow_pickle=False) as stored:
            for i, shape in enumerate(shapes):
                if f"input_{i}" not in stored:
                    has = ", ".join(stored) or "nothing"
                    raise DataError(f"--samples {path} has no input_{i}; it has {has}")
                columns.append(_per_sample(path, f"input_{i}", stored[f"input_{i}"], shape))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"--samples {path} cannot be read as an .npz: {reason}") from error
    counts = {len(column) for column in columns}
    if len(counts) > 1 or min(counts) < 2:
        raise DataError(
            f"--samples {path} holds {' and '.join(map(str, sorted(counts)))} samples; give 2 or "
            "more of every input, and equally many"
        )
    return [list(sample) for sample in zip(*columns, strict=True)][:MOST_SAMPLES]


def _per_sample(
    path: Path, name: str, array: np.ndarray[Any, Any], shape: tuple[int, ...]
) -> list[np.ndarray[Any, Any]]:
    if array.dtype.kind not in "fiub":
        raise DataError(f"--samples {path}: {name} is {array.dtype}; give numbers")
    if shape[0] == 1 and array.shape[1:] == shape[1:]:
        array = array[:, None]
    if array.shape[1:] != shape:
        raise DataError(
            f"--samples {path}: {name} has shape {array.shape}; the network wants "
            f"{('samples', *shape)}".replace("'", "")
        )
    return [np.ascontiguousarray(sample, dtype=np.float32) for sample in array]


def load_images(
    folder: Path,
    shapes: Sequence[tuple[int, ...]],
    value_range: tuple[float, float] | None,
    image: Mapping[str, Any],
) -> list[Arrays]:
    """Read a folder's images, resized to the network's input and filled up to its batch.

    Args:
        folder: Of ``.png`` and ``.jpg``.
        shapes: Of the network's inputs: one image, (N, 1 or 3, H, W).
        value_range: What the pixels 0 and 255 become; None normalises as the network's own
            specification says.
        image: That specification, with ``mean`` and ``std``.

    Raises:
        DataError: The network takes no image, an image cannot be read, or nothing says what the
            pixels become.
    """
    import torch
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2.functional import resize

    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
        raise DataError(f"--samples {folder} holds images and the network takes {list(shapes)}")
    if value_range is None and "mean" not in image:
        raise DataError(
            f"--samples {folder}: say what the pixel values 0 and 255 become, as --input-range 0,1"
        )
    batch, channels, *size = shapes[0]
    mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
    inputs = []
    for path in list_samples(folder):
        try:
            pixels = decode_image(str(path), mode)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"--samples: {path} cannot be read as an image: {reason}") from error
        unit = resize(pixels, size, antialias=True).float() / 255
        if value_range is not None:
            low, high = value_range
            unit = low + unit * (high - low)
        else:
            mean, std = (torch.tensor(image[key]).view(-1, 1, 1) for key in ("mean", "std"))
            unit = (unit - mean) / std
        inputs.append([unit.expand(batch, -1, -1, -1).contiguous().numpy()])
    return inputs
