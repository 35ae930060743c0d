"""The manifest's reference inputs and outputs as a phone reads them: raw little-endian arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.android.facts import AppFacts
from export.sets.manifest import Manifest
from pfd_models.errors import InputError

__all__ = ["read_reference"]


def read_reference(manifest: Manifest, facts: AppFacts) -> dict[str, bytes]:
    """Return raw files by name, all samples of a tensor one after the other.

    The input has a file for each layout that a runtime of `facts` takes: ``reference_nhwc.bin``
    or ``reference_nchw.bin``, of float32 or uint8. Output N is ``reference_output_N.bin``, of
    float32 or int32.

    Raises:
        InputError: The reference cannot be read or lacks a tensor.
    """
    path = manifest.path(manifest.reference)
    arrays = _load(path, ["input_0", *(f"output_{i}" for i in range(len(facts.outputs)))])
    image = arrays["input_0"].reshape(facts.samples, *arrays["input_0"].shape[-3:])
    files = {}
    for runtime in facts.runtimes:
        turned = image
        if runtime.layout == "nhwc" and not facts.takes_bytes:  # bytes are stored in NHWC
            turned = image.transpose(0, 2, 3, 1)
        dtype = np.dtype(np.uint8 if facts.takes_bytes else "<f4")
        files[f"reference_{runtime.layout}.bin"] = turned.astype(dtype).tobytes()
    for i, output in enumerate(facts.outputs):
        dtype = np.dtype("<f4" if output.kind == "float" else "<i4")
        files[f"reference_output_{i}.bin"] = arrays[f"output_{i}"].astype(dtype).tobytes()
    return files


def _load(
    path: Path, names: list[str]
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"cannot read {path}: {line}; build the artifacts again") from error
