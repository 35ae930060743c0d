"""What an app finds ready in the files: normalised pixels, a finished answer, names of classes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.sets.files import sha256_file
from pfd_models.errors import DataError, SpecError, unknown

__all__ = [
    "PREPROCESSINGS",
    "AppOptions",
    "LabelSource",
    "parse_head",
    "parse_labels",
    "parse_numbers",
]

PREPROCESSINGS = ("none", "metadata", "baked", "uint8")
Preprocess = Literal["none", "metadata", "baked", "uint8"]

_HEAD = re.compile(r"none|softmax|argmax|topk:(?P<count>[1-9][0-9]*)")
_DATASET = "dataset"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSource:
    """Where the classes' names come from.

    Attributes:
        kind: A text ``file``, one name a line, or a ``dataset`` of the training package.
        place: The file's path or the data set's name; empty: the data set of the network.
        data_root: The folder that holds the data set, for those that need one.
    """

    kind: Literal["file", "dataset"]
    place: str = ""
    data_root: Path | None = None

    def digest(self) -> str:
        """Return what decides the names, for the key of a request.

        Raises:
            DataError: The file cannot be read.
        """
        if self.kind == "dataset":
            return f"dataset {self.place} {self.data_root}"
        try:
            return sha256_file(Path(self.place))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"--labels {self.place} cannot be read: {reason}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """What is put around a network, so that an app need not do it.

    Attributes:
        preprocess: ``baked``: the files take RGB in 0..1 and normalise it; ``uint8``: they take
            the bytes of an NHWC image; ``metadata``: the app's library normalises by what the
            ``.tflite`` says, where one mean and one deviation say it; ``none``: the app does.
        head: ``none``, ``softmax``, ``argmax`` or ``topk:K``.
        labels: Names of the classes.
        mean: Of each channel in 0..1, for a network that does not say it itself.
        std: Likewise.
    """

    preprocess: Preprocess = "none"
    head: str = "none"
    labels: LabelSource | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no network can have."""
        if self.preprocess not in PREPROCESSINGS:
            raise SpecError(unknown("preprocessing", self.preprocess, PREPROCESSINGS))
        parse_head(self.head)
        if len(self.mean) != len(self.std):
            raise SpecError(
                f"--mean has {len(self.mean)} values and --std {len(self.std)}; give one of each "
                "for every channel"
            )
        if not all(map(math.isfinite, self.mean)) or not all(0 < s < math.inf for s in self.std):
            raise SpecError(f"--mean {self.mean} --std {self.std}: give numbers, --std above 0")

    def digest(self) -> dict[str, object]:
        """Return what decides the files, for the key of a request.

        Raises:
            DataError: The file of the labels cannot be read.
        """
        return {
            "preprocess": self.preprocess,
            "head": self.head,
            "labels": "" if self.labels is None else self.labels.digest(),
            "mean": self.mean,
            "std": self.std,
        }


def parse_head(text: str) -> int:
    """Return K of ``topk:K`` and 0 of the other heads.

    Raises:
        SpecError: It is no head.
    """
    match = _HEAD.fullmatch(text)
    if match is None:
        raise SpecError(unknown("head", text, ("none", "softmax", "argmax", "topk:5")))
    return int(match["count"] or 0)


def parse_labels(text: str, data_root: Path | None = None) -> LabelSource:
    """Read what follows ``--labels``: a file, ``dataset``, or ``dataset:NAME``.

    Raises:
        DataError: There is no such file.
    """
    kind, _, name = text.partition(":")
    if kind == _DATASET:
        return LabelSource(kind="dataset", place=name, data_root=data_root)
    if not Path(text).is_file():
        raise DataError(
            f"--labels {text!r} is no file; give a text file with one name a line, dataset for the "
            "network's own data set, or dataset:NAME"
        )
    return LabelSource(kind="file", place=text)


def parse_numbers(option: str, text: str | None) -> tuple[float, ...]:
    """Read numbers separated by commas; none where the option is not given.

    Raises:
        SpecError: They are no numbers.
    """
    if not text:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"{option} {text!r}: write numbers as 0.485,0.456,0.406") from None
