"""Which data a network is calibrated on, as the user named it. Nothing is decoded here."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.request.provenance import source_digest
from export.request.samples import IMAGE_SUFFIXES
from export.sets.files import sha256_file
from pfd_models.errors import DataError, SpecError

__all__ = ["MOST_SPARE", "WAYS", "CalibrationSource", "parse_calibration"]

_DATASET, _SYNTHETIC = "dataset:", "synthetic"
WAYS = "a folder of images, dataset:NAME, a file.npz, or synthetic for noise"


MOST_SPARE = 4
"""How many times `count` images are read at most to choose with, besides the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSource:
    """What a network is calibrated on, and what its loss is measured on.

    Attributes:
        kind: ``folder`` of images, a ``dataset`` of the training package, an ``npz`` of arrays as
            the network is fed, or ``synthetic`` noise.
        place: The folder's or file's path, or the data set's name; empty for noise.
        count: How many samples to calibrate on at most; a quarter of what there is, and as many
            at most, is held back to measure on.
        seed: Of the choice of images or samples, and of the noise.
        data_root: The folder that holds the data set, for those that need one.
    """

    kind: Literal["folder", "dataset", "npz", "synthetic"]
    place: str = ""
    count: int = 64
    seed: int = 0
    data_root: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what no calibration can use."""
        if self.count < 1:
            raise SpecError(f"a calibration on {self.count} samples is none; give 1 or more")

    def files(self) -> tuple[list[Path], list[Path], list[Path]]:
        """Return a folder's images: to calibrate on, to measure on, and more to choose with.

        Raises:
            DataError: The folder is missing or holds too few.
        """
        folder = Path(self.place)
        found = sorted(
            p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.is_dir()
        )
        if len(found) < 2:
            raise DataError(
                f"--calibration {folder} holds {len(found)} images "
                f"({', '.join(IMAGE_SUFFIXES)}); give 2 or more, some to calibrate on and some to "
                "measure on"
            )
        random.Random(self.seed).shuffle(found)
        used, held, spare = self.split(len(found))
        seen = used + held
        return found[:used], found[used:seen], found[seen : seen + spare]

    def split(self, found: int) -> tuple[int, int, int]:
        """Return how many of the samples there are to calibrate, to measure and to choose on."""
        held = min(self.count, max(1, found // 4))
        used = min(self.count, found - held)
        return used, held, min(MOST_SPARE * self.count, found - used - held)

    def digest(self, *, choosing: bool = False) -> str:
        """Return what decides the data, for the key of a request.

        Args:
            choosing: Whether the images to choose with decide as well.

        Raises:
            DataError: The folder or the file cannot be read.
        """
        own = f"{self.kind} {self.place} {self.count} {self.seed} {self.data_root}"
        if self.kind == "folder":
            parts = self.files() if choosing else self.files()[:2]
            return f"{own} {source_digest([p for part in parts for p in part])}"
        if self.kind == "npz":
            try:
                return f"{own} {sha256_file(Path(self.place))}"
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise DataError(f"--calibration {self.place} cannot be read: {reason}") from error
        return own

    @property
    def label(self) -> str:
        """Return how the manifest calls it."""
        return {
            "folder": f"images of {Path(self.place).name}",
            "dataset": f"training images of {self.place}",
            "npz": f"arrays of {Path(self.place).name}",
            "synthetic": "SYNTHETIC NOISE",
        }[self.kind]


def parse_calibration(
    text: str, *, count: int = 64, seed: int = 0, data_root: Path | None = None
) -> CalibrationSource:
    """Read what follows ``--calibration``.

    Raises:
        SpecError: It is nothing of the kind.
        DataError: The folder or the file is missing.
    """
    common = {"count": count, "seed": seed, "data_root": data_root}
    if text == _SYNTHETIC:
        return CalibrationSource(kind="synthetic", **common)  # type: ignore[arg-type]  # as named
    if text.startswith(_DATASET):
        name = text.removeprefix(_DATASET)
        return CalibrationSource(kind="dataset", place=name, **common)  # type: ignore[arg-type]
    path = Path(text)
    if path.is_dir():
        return CalibrationSource(kind="folder", place=text, **common)  # type: ignore[arg-type]
    if path.suffix == ".npz":
        if not path.is_file():
            raise DataError(f"--calibration {text} is missing; give {WAYS}")
        return CalibrationSource(kind="npz", place=text, **common)  # type: ignore[arg-type]
    raise SpecError(f"--calibration {text} is no folder and no .npz; give {WAYS}")
