"""Images as a network with its normalisation inside takes them: floats in 0..1, or bytes in NHWC.

Noise and images are made as floats in NCHW, as for any other network, and turned here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.network.inputs import Arrays
from export.network.samples import choose_inputs
from export.request.request import BuildRequest
from export.sets.manifest import AppInterface

if TYPE_CHECKING:
    from export.network.network import Network

__all__ = ["choose_network_inputs", "pixel_range", "to_bytes", "to_image_shape"]


def pixel_range(app: AppInterface | None) -> tuple[float, float] | None:
    """Return the values that a pixel of the files may have; None where the app normalises."""
    ranges = {"baked": (0.0, 1.0), "uint8": (0.0, 255.0)}
    return None if app is None else ranges.get(app.preprocess)


def to_bytes(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Turn floats of 0 to 255, (N, C, H, W), into uint8 (N, H, W, C)."""
    return np.ascontiguousarray(np.rint(image).astype(np.uint8).transpose(0, 2, 3, 1))


def to_image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (N, C, H, W) for (N, H, W, C)."""
    n, h, w, c = shape
    return n, c, h, w


def choose_network_inputs(request: BuildRequest, network: Network) -> tuple[list[Arrays], str]:
    """Return what the network and its files are fed, and how the manifest calls it.

    Raises:
        DataError: The samples cannot be read, or are none of this network.
    """
    is_array = request.samples is not None and request.samples.is_file()  # as the files are fed
    takes_bytes = network.app is not None and network.app.preprocess == "uint8" and not is_array
    shapes, dtypes = network.shapes, network.dtypes
    if takes_bytes:
        shapes, dtypes = tuple(map(to_image_shape, shapes)), ("float32",)
    inputs, called = choose_inputs(
        request,
        shapes,
        network.spec.get("input", {}),
        dtypes=dtypes,
        integers_below=network.integers_below,
        value_range=pixel_range(network.app),
    )
    if takes_bytes:
        inputs = [[to_bytes(array) for array in sample] for sample in inputs]
    return inputs, called
