"""A manifest's reference data as the harness reads it: raw tensors in the file's own layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.sets.files import atomic_write, sha256_file
from export.sets.manifest import Artifact, Manifest, TensorSpec
from pfd_models.errors import InputError, IntegrityError

__all__ = ["ReferenceFiles", "write_reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFiles:
    """Raw little-endian files, all samples of a tensor one after the other.

    Attributes:
        inputs: One for each input of the artifact, in order, of the artifact's dtype.
        expected: One for each output, in order, float32.
        samples: How many there are in each.
    """

    inputs: tuple[Path, ...]
    expected: tuple[Path, ...]
    samples: int


def write_reference(manifest: Manifest, artifact: Artifact, folder: Path) -> ReferenceFiles:
    """Write the reference inputs and outputs of a manifest as one artifact takes them.

    Images are stored in PyTorch's layout and turned to NHWC where the artifact says so. Equal
    content gets equal names, so that a device needs each only once.

    Args:
        manifest: As loaded, with its folder.
        artifact: One of its files.
        folder: Where the raw files go.

    Raises:
        IntegrityError: The reference file is not the one the manifest describes.
        InputError: It does not fit the artifact.
        OutputError: The folder cannot be written.
    """
    path = manifest.path(manifest.reference)
    if not path.is_file() or sha256_file(path) != manifest.reference.sha256:
        raise IntegrityError(
            f"{path} is missing or not the file that {manifest.stem}.json describes: build again"
        )
    with np.load(path, allow_pickle=False) as arrays:
        names = {
            kind: _save(arrays, kind, tensors, manifest, folder)
            for kind, tensors in (("input", artifact.inputs), ("output", artifact.outputs))
        }
    return ReferenceFiles(
        inputs=names["input"], expected=names["output"], samples=manifest.reference.samples
    )


def _save(
    arrays: Any, kind: str, tensors: Sequence[TensorSpec], manifest: Manifest, folder: Path
) -> tuple[Path, ...]:
    paths = []
    for i, tensor in enumerate(tensors):
        key = f"{kind}_{i}"
        if key not in arrays:
            raise InputError(f"{manifest.reference.file} has no {key}; build the artifacts again")
        dtype = np.dtype(tensor.dtype if kind == "input" else "float32").newbyteorder("<")
        raw = _arranged(arrays[key], tensor, manifest).astype(dtype, copy=False).tobytes()
        layout = tensor.layout.lower() or "plain"
        path = folder / f"{manifest.reference.sha256[:16]}_{key}_{layout}_{dtype.name}.bin"
        if not path.is_file() or path.stat().st_size != len(raw):
            atomic_write(path, raw)
        paths.append(path)
    return tuple(paths)


def _arranged(array: NDArray[Any], tensor: TensorSpec, manifest: Manifest) -> NDArray[Any]:
    """Return (samples, *tensor.shape) in the tensor's layout."""
    if tensor.layout == "NHWC":
        if array.ndim != 5:
            raise InputError(f"{tensor.name} is NHWC and its reference is no row of images")
        array = array.transpose(0, 1, 3, 4, 2)
    expected = (manifest.reference.samples, *tensor.shape)
    if array.shape != expected:
        raise InputError(
            f"the reference of {tensor.name!r} has shape {array.shape} and the file wants "
            f"{expected}: build the artifacts again"
        )
    return np.ascontiguousarray(array)
