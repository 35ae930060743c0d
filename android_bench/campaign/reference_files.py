"""A manifest's reference data as the harness reads it: raw tensors in the file's own layout."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.sets.files import sha256_file
from export.sets.manifest import Artifact, Manifest, TensorSpec
from pfd_models.errors import InputError, IntegrityError
from pfd_models.files import atomic_write

__all__ = ["ReferenceFiles", "write_reference"]

# What NumPy raises for archives that are none, cut off, or claim what cannot be.
_UNREADABLE = (
    ArithmeticError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,  # a single array, which is no archive of them
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


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
        InputError: It cannot be read or does not fit the artifact.
        OutputError: The folder cannot be written.
    """
    path = manifest.path(manifest.reference)
    if not path.is_file() or sha256_file(path) != manifest.reference.sha256:
        raise IntegrityError(
            f"{path} is missing or not the file that {manifest.stem}.json describes: build again"
        )
    arrays = _read(path)
    names = {
        kind: _save(arrays, kind, tensors, manifest, folder)
        for kind, tensors in (("input", artifact.inputs), ("output", artifact.outputs))
    }
    return ReferenceFiles(
        inputs=names["input"], expected=names["output"], samples=manifest.reference.samples
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:  # given a path, NumPy leaves a damaged archive open
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise ValueError("it is one array and no archive of them")
            arrays = {name: stored[name] for name in stored.files}
        if wrong := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{wrong[0]} is no array")
        return arrays
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"cannot read {path}: {reason[:200]}; build the artifacts again"
        ) from error


def _save(
    arrays: dict[str, NDArray[Any]],
    kind: str,
    tensors: Sequence[TensorSpec],
    manifest: Manifest,
    folder: Path,
) -> tuple[Path, ...]:
    paths = []
    for i, tensor in enumerate(tensors):
        key = f"{kind}_{i}"
        if key not in arrays:
            raise InputError(f"{manifest.reference.file} has no {key}; build the artifacts again")
        dtype = _dtype(tensor.dtype if kind == "input" else "float32", tensor)
        raw = _arranged(arrays[key], tensor, manifest).astype(dtype, copy=False).tobytes()
        layout = tensor.layout.lower() or "plain"
        path = folder / f"{manifest.reference.sha256[:16]}_{key}_{layout}_{dtype.name}.bin"
        if not path.is_file() or path.stat().st_size != len(raw):
            atomic_write(path, raw)
        paths.append(path)
    return tuple(paths)


def _dtype(name: str, tensor: TensorSpec) -> np.dtype[Any]:
    try:
        return np.dtype(name).newbyteorder("<")
    except TypeError as error:
        raise InputError(
            f"{tensor.name!r} has the unknown dtype {name!r}; build the artifacts again"
        ) from error


def _arranged(array: NDArray[Any], tensor: TensorSpec, manifest: Manifest) -> NDArray[Any]:
    """Return (samples, *tensor.shape) in the tensor's layout."""
    channels = {"NHWC": 2, "HWC": 1}.get(tensor.layout)
    if channels is not None and array.ndim == channels + 3:
        array = np.moveaxis(array, channels, -1)
    expected = (manifest.reference.samples, *tensor.shape)
    if array.shape != expected:
        raise InputError(
            f"the reference of {tensor.name!r} has shape {array.shape} and the file wants "
            f"{expected}: build the artifacts again"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"the reference of {tensor.name!r} holds no numbers; build again")
    return np.ascontiguousarray(array)
