"""A run's folder: configuration, logs, checkpoints, and the rule that no run overwrites another."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
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
    def result(self) -> Path:
        """Return what a complete run ended with."""
        return self.path / "result.json"

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
            in_use = self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        if resume:
            if not self.config.is_file():
                raise RunError(f"there is no run in {self.path} to resume; call without --resume")
            return self.last.is_file()
        if in_use:
            raise RunError(
                f"{self.path} exists: go on with that run by --resume, or name another folder "
                "with --run-folder"
            )
        with output_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        return False

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the whole configuration."""
        plain = {"schema_version": _SCHEMA_VERSION, **config}
        atomic_write(self.config, json.dumps(plain, indent=2) + "\n")

    def write_result(self, decisive: Mapping[str, Any], history: Sequence[EpochRecord]) -> None:
        """Write what a complete run ended with, and what decided it."""
        best = max(history, key=lambda record: record.top1)
        plain = {
            "schema_version": _SCHEMA_VERSION,
            "best": dataclasses.asdict(best),
            "last": dataclasses.asdict(history[-1]),
            "decisive": decisive,
        }
        atomic_write(self.result, json.dumps(plain, indent=2) + "\n")

    def read_result(self, decisive: Mapping[str, Any]) -> tuple[EpochRecord, EpochRecord] | None:
        """Return the best and the last epoch of a complete run of the same kind, or None."""
        try:
            plain = json.loads(self.result.read_text(encoding="utf-8"))
            if plain["decisive"] != json.loads(json.dumps(decisive)):
                return None
            return EpochRecord(**plain["best"]), EpochRecord(**plain["last"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_log(self, history: Sequence[EpochRecord]) -> None:
        """Write the table anew: a resumed run has no row twice."""
        text = io.StringIO()
        names = [f.name for f in dataclasses.fields(EpochRecord)]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(record) for record in history)
        atomic_write(self.log, text.getvalue())
