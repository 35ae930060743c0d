"""Read a checkpoint file of unknown origin: nothing in it runs, and damage is told."""

from __future__ import annotations

import argparse
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pfd_models.errors import WeightsError

__all__ = ["read_checkpoint"]

_SCALAR: Callable[..., Any] = np.float64(0).__reduce__()[0]  # type: ignore[assignment]  # object in NumPy's stubs
_SAFE: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    # What training scripts keep beside the weights: their options, and figures such as the best
    # accuracy. Reading them runs nothing: a namespace takes attributes, a NumPy scalar a dtype
    # and its bytes. NumPy 1 and 2 call the function for the latter by different names.
    argparse.Namespace,
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *(
        type(np.dtype(kind))
        for kind in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
                     "uint64", "float16", "float32", "float64")
    ),
]  # fmt: skip


def read_checkpoint(path: Path) -> Any:
    """Load a file of ``torch.save`` or of safetensors without running anything in it.

    Raises:
        WeightsError: It cannot be read, is damaged or no checkpoint, or holds pickled objects.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise WeightsError(f"cannot read {path}: {reason}") from error
    if _is_safetensors(data):
        return _read_safetensors(path, data)
    try:
        _check_sums(data)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE):
            warnings.simplefilter("ignore")  # torch warns of file kinds that are refused below
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL ([\w.]+)", str(error))
        if culprit is None:
            raise WeightsError(f"{path} is no checkpoint or is damaged") from error
        raise WeightsError(
            f"{path} holds a pickled {culprit[1]}, which is not loaded because unpickling runs "
            "code; save the module's state_dict alone"
        ) from error
    except Exception as error:  # a damaged file fails in any way: zip, pickle, sizes, encodings
        what = str(error).strip().splitlines()
        if what and "TorchScript" in what[0]:
            raise WeightsError(
                f"{path} is a TorchScript archive, which holds code; save the state_dict of "
                "torch.jit.load(...) alone"
            ) from error
        raise WeightsError(
            f"{path} is no checkpoint or is damaged ({what[0] if what else type(error).__name__})"
        ) from error


def _is_safetensors(data: bytes) -> bool:
    """Say whether a file begins as safetensors do: the header's length, then its JSON."""
    return 8 + int.from_bytes(data[:8], "little") <= len(data) and data[8:9] == b"{"


def _read_safetensors(path: Path, data: bytes) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise WeightsError(
            f"{path} is a safetensors file; install the package to read it: pip install safetensors"
        ) from error
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{path} is a damaged safetensors file ({line[:200]})") from error


def _check_sums(data: bytes) -> None:
    """Hold each record of a zip file, which torch.save writes, to its checksum.

    torch.load does not: a flipped bit in a weight would pass.

    Raises:
        ValueError: A record's bytes are not those that were written.
    """
    if zipfile.is_zipfile(io.BytesIO(data)):
        damaged = zipfile.ZipFile(io.BytesIO(data)).testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} differs")
