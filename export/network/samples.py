"""The inputs that a user brings: images of a folder, or the arrays of an ``.npz``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.network.inputs import Arrays, fill_dtypes, make_inputs
from export.network.reading import choose_normaliser, decode_pixels, read_arrays, require_image
from export.request.request import BuildRequest
from export.request.samples import MOST_SAMPLES, list_samples, samples_digest
from pfd_models.errors import DataError

__all__ = ["choose_inputs", "load_arrays", "load_images"]

_OPTION = "--samples"


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
            (kind,) = fill_dtypes(shapes, dtypes)
            inputs = [[array.astype(kind)] for (array,) in inputs]
        else:
            inputs = load_arrays(request.samples, shapes, dtypes)
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


def load_arrays(
    path: Path, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str] = ()
) -> list[Arrays]:
    """Read ``input_0``, ``input_1``, ... of an ``.npz``.

    Args:
        path: Its arrays are as `read_arrays` says.
        shapes: Of the network's inputs, batch first.
        dtypes: As in `make_inputs`.

    Raises:
        DataError: It cannot be read, an array is missing or of another shape, or there are
            fewer than two samples.
    """
    columns, _ = read_arrays(_OPTION, path, shapes, dtypes)
    if len(columns[0]) < 2:
        raise DataError(
            f"{_OPTION} {path} holds {len(columns[0])} samples; give 2 or more of every input"
        )
    return [list(sample) for sample in zip(*columns, strict=True)][:MOST_SAMPLES]


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
    from torchvision.transforms.v2.functional import resize

    require_image(_OPTION, folder, shapes)
    normalise = choose_normaliser(_OPTION, folder, image, value_range)
    batch, channels, *size = shapes[0]
    inputs = []
    for path in list_samples(folder):
        pixels = resize(decode_pixels(_OPTION, path, channels), size, antialias=True)
        inputs.append([normalise(pixels).expand(batch, -1, -1, -1).contiguous().numpy()])
    return inputs
