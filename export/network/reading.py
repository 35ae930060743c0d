"""Read what a user brings for a network: arrays of an ``.npz``, and images.

Two options bring data, ``--samples`` and ``--calibration``; the error lines name theirs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.network.inputs import fill_dtypes
from pfd_models.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["choose_normaliser", "decode_pixels", "read_arrays", "require_image"]


def read_arrays(
    option: str, path: Path, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]
) -> tuple[list[np.ndarray[Any, Any]], np.ndarray[Any, Any] | None]:
    """Read ``input_0``, ``input_1``, ... of an ``.npz``, and ``labels`` where there are some.

    Args:
        option: That names the file, for error lines.
        path: Each array is (images, ...), or (samples, ...) with whole batches inside.
        shapes: Of the network's inputs, batch first.
        dtypes: NumPy's name for each input, float32 where nothing is said.

    Returns:
        Each input as (samples, *its shape), what does not fill a batch left out, of its dtype,
        equally many of each; and the labels as they are stored.

    Raises:
        DataError: It cannot be read, or an array is missing, no numbers, of another shape or
            of another length than the others.
    """
    columns = []
    try:
        with _open_archive(path) as stored:
            labels = stored.get("labels")
            for i, (shape, dtype) in enumerate(
                zip(shapes, fill_dtypes(shapes, dtypes), strict=True)
            ):
                name = f"input_{i}"
                if name not in stored:
                    has = ", ".join(stored) or "nothing"
                    raise DataError(f"{option} {path} has no {name}; it has {has}")
                array = _in_batches(option, path, name, stored[name], shape)
                columns.append(np.ascontiguousarray(array, dtype=dtype))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{option} {path} cannot be read as an .npz: {line}") from error
    if len(counts := {len(column) for column in columns}) > 1:
        raise DataError(
            f"{option} {path} holds {' and '.join(map(str, sorted(counts)))} samples; give equally "
            "many of every input"
        )
    return columns, labels


def _open_archive(path: Path) -> np.lib.npyio.NpzFile:
    stored = np.load(path, allow_pickle=False)
    if not isinstance(stored, np.lib.npyio.NpzFile):
        raise ValueError("it is one array without a name, as numpy.save writes it")
    return stored


def _in_batches(
    option: str, path: Path, name: str, array: np.ndarray[Any, Any], shape: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{option} {path}: {name} is {array.dtype}; give numbers")
    if array.shape[1:] == shape:
        return array
    if array.ndim != len(shape) or array.shape[1:] != shape[1:]:
        wanted = ", ".join(map(str, shape))
        raise DataError(
            f"{option} {path}: {name} is {array.dtype} of shape {array.shape}; the network wants "
            f"(samples, {wanted})"
        )
    whole = len(array) // shape[0]
    return array[: whole * shape[0]].reshape(whole, *shape)


def require_image(option: str, place: object, shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuse images for a network that takes something else.

    Raises:
        DataError: The network does not take one image of one or three channels.
    """
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
        raise DataError(
            f"{option} {place} holds images and the network takes {list(shapes)}; give an .npz "
            "with input_0, input_1, ... as it is fed"
        )


def decode_pixels(option: str, path: Path, channels: int) -> Tensor:
    """Read an image file as (1 or 3, height, width), uint8.

    Raises:
        DataError: It is no image.
    """
    from torchvision.io import ImageReadMode, decode_image

    mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
    try:
        pixels: Tensor = decode_image(str(path), mode)
    except RuntimeError as error:
        line = str(error).splitlines()[0]
        raise DataError(f"{option}: {path} cannot be read as an image: {line}") from error
    return pixels


def choose_normaliser(
    option: str,
    place: object,
    image: Mapping[str, Any],
    value_range: tuple[float, float] | None,
) -> Callable[[Tensor], Tensor]:
    """Return what turns pixels of 0 to 255 into what the network is fed, float32.

    Args:
        option: That names the images, for error lines.
        place: Where they lie.
        image: How the network wants its image, with ``mean`` and ``std``; empty where unknown.
        value_range: What 0 and 255 become; None normalises as `image` says.

    Raises:
        DataError: Nothing says what the pixels become.
    """
    import torch

    if value_range is not None:
        low, high = value_range
        return lambda pixels: low + pixels.float() / 255 * (high - low)
    if "mean" not in image:
        raise DataError(
            f"{option} {place}: nothing says what the pixel values 0 and 255 become for this "
            "module; say it, as --input-range 0,1, or give an .npz with input_0"
        )
    mean, std = (torch.tensor(image[key]).view(-1, 1, 1) for key in ("mean", "std"))
    return lambda pixels: (pixels.float() / 255 - mean) / std
