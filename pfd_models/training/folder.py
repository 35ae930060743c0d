"""A run's folder: configuration, logs, checkpoints, and the rule that no run overwrites another."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfd_models.errors import RunError
from pfd_models.files import atomic_write, output_errors
from pfd_models.training.progress import EpochRecord

__all__ = ["RunFolder"]

_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """Names of what a run keeps.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Return the file with everything that was asked for and where values come from."""
        return self.path / "config.json"

    @property
    def last(self) -> Path:
        """Return the state to go on from."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """Return the weights of the epoch with the highest top-1."""
        return self.path / "best.pt"

    @property
    def log(self) -> Path:
        """Return the table with a row an epoch."""
        return self.path / "log.csv"

    @property
    def events(self) -> Path:
        """Return TensorBoard's folder."""
        return self.path / "tensorboard"

    def claim(self, *, resume: bool) -> bool:
        """Take the folder for a new run, or find the one that goes on.

        Returns:
            Whether there is a state to go on from; without one a resumed run begins anew.

        Raises:
            RunError: It is in use and the run is new, or there is nothing to resume.
            OutputError: It cannot be made.
        """
        with output_errors(self.path):
            in_use = self.path.exists() and (
                not self.path.is_dir() or any(self.path.iterdir())
            )
        if resume:
            if not self.config.is_file():
                raise RunError(f"there is no run in {self.path} to resume; call without --resume")
            return self.last.is_file()
        if in_use:
            raise RunError(
                f"{self.path} exists: go on with that run by --resume, or name another folder "
                "with --run"
            )
        with output_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        return False

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the whole configuration."""
        plain = {"schema_version": _SCHEMA_VERSION, **config}
        atomic_write(self.config, json.dumps(plain, indent=2) + "\n")

    def write_log(self, history: Sequence[EpochRecord]) -> None:
        """Write the table anew: a resumed run has no row twice."""
        text = io.StringIO()
        names = [f.name for f in dataclasses.fields(EpochRecord)]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(record) for record in history)
        atomic_write(self.log, text.getvalue())
