"""Read a checkpoint file of unknown origin: nothing in it runs, damage is told, wrappers go."""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pfd_models.errors import WeightsError

__all__ = ["find_state_dict", "read_checkpoint"]

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
_PREFIXES = ("module.", "_orig_mod.")  # DataParallel's and torch.compile's


def read_checkpoint(path: Path) -> Any:
    """Load a file without running anything in it.

    Raises:
        WeightsError: It cannot be read, is damaged or no checkpoint, or holds pickled objects.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise WeightsError(f"cannot read {path}: {reason}") from error
    try:
        _check_sums(data)
        with warnings.catch_warnings():
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
        raise WeightsError(
            f"{path} is no checkpoint or is damaged ({what[0] if what else type(error).__name__})"
        ) from error


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


def find_state_dict(stored: Any, path: Path) -> dict[str, Tensor]:
    """Find the state dict in what a training script saved, and strip wrappers' prefixes.

    Args:
        stored: What `read_checkpoint` returned.
        path: For messages.

    Raises:
        WeightsError: There is none.
    """
    weights = stored
    for _ in _WRAPPERS:
        inner = [
            weights[key]
            for key in _WRAPPERS
            if isinstance(weights, Mapping) and isinstance(weights.get(key), Mapping)
        ]
        if not inner:
            break
        weights = inner[0]
    if not isinstance(weights, Mapping) or not weights:
        raise WeightsError(f"{path} holds a {type(stored).__name__}, not a state dict")
    strangers = [str(k) for k, v in weights.items() if not isinstance(v, Tensor)]
    if strangers:
        raise WeightsError(
            f"{path} holds no state dict: {strangers[0]!r} is no tensor; a state dict is looked "
            f"for at the top and under {', '.join(_WRAPPERS)}"
        )
    plain = {str(key): value for key, value in weights.items()}
    while prefix := next((p for p in _PREFIXES if all(k.startswith(p) for k in plain)), None):
        plain = {key.removeprefix(prefix): value for key, value in plain.items()}
    return plain
