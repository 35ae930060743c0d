"""``last.pt``: all that a run needs to go on as if it had never stopped.

The network's weights lie under ``state_dict``, so `pfd_models.load_weights` and
``python -m export.build --weights`` read the file as they read any checkpoint.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pfd_models.checkpoints.file import read_checkpoint
from pfd_models.errors import RunError
from pfd_models.files import atomic_write
from pfd_models.training.config import RunConfig
from pfd_models.training.engine import Engine
from pfd_models.training.progress import Progress

__all__ = ["load_state", "save_state"]

_FORMAT = "pfd-training"
_SCHEMA_VERSION = 1


def save_state(path: Path, engine: Engine, progress: Progress, config: RunConfig) -> None:
    """Write the state of a run, whole or not at all; all processes call this together.

    Raises:
        OutputError: The folder cannot be written or the disk is full; the file that was there is
            still there, whole.
    """
    streams = engine.processes.gather(_streams(engine.device))

    def write() -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "format": _FORMAT,
                "schema_version": _SCHEMA_VERSION,
                "spec": config.spec.to_dict(),
                "in_integers": config.qat is not None,
                "decisive": config.decisive(engine.processes.count),
                "state_dict": engine.model.state_dict(),
                "optimiser": engine.optimiser.state_dict(),
                "scaler": engine.scaler.state_dict(),
                "progress": progress.to_dict(),
                "streams": streams,
            },
            buffer,
        )
        atomic_write(path, buffer.getvalue())

    engine.processes.on_main(write)


def load_state(path: Path, engine: Engine, config: RunConfig) -> Progress:
    """Put a run back to where `save_state` left it.

    Args:
        path: The file.
        engine: Is filled.
        config: What the run is now asked to be.

    Returns:
        Where the run is.

    Raises:
        WeightsError: The file is missing or damaged.
        RunError: It is of another kind, version, network or recipe; the line names the first
            field that differs.
    """
    stored = read_checkpoint(path)
    if not isinstance(stored, Mapping) or stored.get("format") != _FORMAT:
        raise RunError(f"{path} is no state of a training run; resume needs a run's own last.pt")
    if stored["schema_version"] != _SCHEMA_VERSION:
        raise RunError(
            f"{path} has schema version {stored['schema_version']}, this program reads "
            f"{_SCHEMA_VERSION}; go on with the version that wrote it"
        )
    _check_same(path, stored["decisive"], config.decisive(engine.processes.count))
    engine.model.load_state_dict(stored["state_dict"])
    engine.optimiser.load_state_dict(stored["optimiser"])
    if stored["scaler"]:
        engine.scaler.load_state_dict(stored["scaler"])
    progress = Progress.from_dict(stored["progress"])
    if not engine.processes.is_main:  # the sum of all is in the main process's hands
        progress.loss_sum, progress.images = 0.0, 0
    _restore_streams(stored["streams"][engine.processes.rank], engine.device)
    return progress


def _check_same(path: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    different = [name for name in {**now, **was} if was.get(name) != now.get(name)]
    if not different:
        return
    first = different[0]
    others = f"; {', '.join(different[1:4])} differ too" if different[1:] else ""
    raise RunError(
        f"{path} was trained with {first} {_plain(was.get(first))}, not {_plain(now.get(first))}"
        f"{others}; ask for the same again, or choose another folder with --run-folder"
    )


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items()) or "none"
    return str(value)


def _streams(device: torch.device) -> dict[str, Any]:
    gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "gpu": gpu}


def _restore_streams(streams: Mapping[str, Any], device: torch.device) -> None:
    torch.set_rng_state(streams["cpu"])
    if streams["gpu"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(streams["gpu"], device)
