"""The manifest's inputs and expected outputs as the raw files that the harness reads.

The reference data are in PyTorch's layout; a file may want its images with channels last.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from android_bench.campaign.contest import BenchFile
from export.sets.manifest import TensorSpec
from pfd_models.errors import InputError
from pfd_models.files import atomic_write

__all__ = ["write_references"]


def write_references(
    file: BenchFile, folder: Path, stem: str
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Write raw little-endian tensors, samples one after the other.

    Args:
        file: Whose tensors, in the layout of that file.
        folder: Where to write.
        stem: How their names begin.

    Returns:
        The input files and the files of expected outputs, in the order of the tensors.

    Raises:
        InputError: The reference data are damaged or do not fit the file.
        OutputError: The folder cannot be written.
    """
    path = file.manifest.path(file.manifest.reference)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; build the artifacts again") from error
    sides = []
    for side, specs in (("input", file.artifact.inputs), ("output", file.artifact.outputs)):
        written = []
        for number, spec in enumerate(specs):
            name = f"{side}_{number}"
            if name not in arrays:
                raise InputError(f"{path} has no {name}; build the artifacts again")
            dtype = spec.dtype if side == "input" else "float32"  # what the harness compares with
            raw = folder / f"{stem}.{name}.bin"
            atomic_write(raw, _in_layout_of(spec, arrays[name], path).astype(dtype).tobytes())
            written.append(raw)
        sides.append(tuple(written))
    return sides[0], sides[1]


def _in_layout_of(spec: TensorSpec, samples: np.ndarray, path: Path) -> np.ndarray:
    """(samples, ...) in PyTorch's layout to the layout of a file's tensor."""
    if spec.layout == "NHWC":
        samples = np.moveaxis(samples, 2, -1)
    elif spec.layout == "HWC":
        samples = np.moveaxis(samples, 1, -1)
    if _shape(samples) != spec.shape:
        raise InputError(
            f"{path} has samples of shape {_shape(samples)} for {spec.name!r}, which wants "
            f"{spec.shape}; build the artifacts again"
        )
    return np.ascontiguousarray(samples)


def _shape(samples: np.ndarray) -> Sequence[int]:
    return tuple(samples.shape[1:])
