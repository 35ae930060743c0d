"""What one build is asked to make, as plain data that crosses process borders."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from export.request.app import AppOptions
from export.request.calibration import WAYS, CalibrationSource
from export.request.provenance import source_digest, versions
from export.request.samples import samples_digest
from export.request.source import ModuleSource, ZooSource
from export.request.user_sources import find_distributions, find_imports, find_sources
from export.sets.files import sha256_file
from pfd_models.errors import SpecError, WeightsError, unknown
from pfd_models.plain_data import to_plain

__all__ = ["PRECISIONS", "BuildRequest", "Precision", "content_key"]

PRECISIONS = ("fp32", "fp16", "int8")
Precision = Literal["fp32", "fp16", "int8"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One set of artifacts to make.

    Attributes:
        source: What network.
        name: What the files of a user's module are called; empty: after its import path.
        formats: Which files, by format name.
        weights: A checkpoint; None leaves the seeded initialisation.
        weights_key: Where in the checkpoint the state dict lies, where it holds several.
        seed: Of the initialisation and of the parity inputs.
        out: The folder to publish into.
        backend: The delegate of the ``.pte``.
        tflite_io: Layout of the ``.tflite``'s image inputs and outputs.
        pte_io: Layout of the ``.pte``'s.
        input_range: Lowest and highest value of the noise that the network and its files are fed;
            None stands for standard normal noise. Of images in `samples`, what 0 and 255 become.
        samples: A folder of images or an ``.npz`` to feed them instead.
        allow_flat_output: Publish a network whose outputs hardly depend on its input.
        require_all_formats: Refuse a set that lacks a format, instead of making the others.
        precision: What the files compute in.
        calibration: What ``int8`` is calibrated on, and what its cost and that of ``fp16`` are
            measured on; without it, that of ``fp16`` is measured on the parity inputs. Weights that
            were trained in integers need none.
        io: Whether the caller of an ``int8`` file feeds and reads numbers or their integers.
        app: What the files do for an app: normalise, name the classes.
        keep_float: Modules or layers of an ``int8`` network that compute in float.
        max_loss: Percentage points of top-1 that an ``int8`` network may lose; further layers
            compute in float until it does not lose more. None sets no limit.
        require_full_delegation: Refuse a set with an operator outside its delegate.
        force: Build even when nothing changed.
        verbose: Let the libraries' own logs through.
    """

    source: ZooSource | ModuleSource
    name: str = ""
    formats: tuple[str, ...] = ("pte", "onnx", "tflite")
    weights: Path | None = None
    weights_key: str = ""
    seed: int = 0
    out: Path = Path("artifacts")
    backend: str = "xnnpack"
    tflite_io: Literal["nhwc", "nchw"] = "nhwc"
    pte_io: Literal["nhwc", "nchw"] = "nchw"
    input_range: tuple[float, float] | None = None
    samples: Path | None = None
    allow_flat_output: bool = False
    require_all_formats: bool = False
    precision: Precision = "fp32"
    calibration: CalibrationSource | None = None
    io: Literal["float", "int8"] = "float"
    app: AppOptions = field(default_factory=AppOptions)
    keep_float: tuple[str, ...] = ()
    max_loss: float | None = None
    require_full_delegation: bool = False
    force: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        """Refuse what no build can satisfy."""
        if not self.formats:
            raise SpecError("no format to build: give at least one of pte, onnx, tflite")
        if self.seed < 0:
            raise SpecError(f"seed {self.seed} is negative; give 0 or more")
        if self.precision not in PRECISIONS:
            raise SpecError(unknown("precision", self.precision, PRECISIONS))
        if self.precision == "int8" and self.calibration is None and self.weights is None:
            raise SpecError(f"precision int8 needs --calibration: give {WAYS}")
        if self.precision == "fp32" and self.calibration is not None:
            raise SpecError("calibration data go with precision int8 or fp16 only")
        if self.precision != "int8" and self.io != "float":
            raise SpecError("integer inputs go with precision int8 only")
        if self.precision != "fp32" and self.source.batch_range is not None:
            raise SpecError(
                f"{self.precision} files have one batch, for they are judged on fixed shapes; give "
                "one, or build fp32"
            )
        if self.precision != "int8" and (self.keep_float or self.max_loss is not None):
            raise SpecError("--keep-float and --max-loss go with precision int8 only")
        if self.max_loss is not None and not 0 <= self.max_loss < 100:
            raise SpecError(
                f"--max-loss {self.max_loss:g} is no loss in percentage points; give 0.5 or the "
                "like"
            )
        if self.input_range is not None and self.app.preprocess in ("baked", "uint8"):
            raise SpecError(
                f"--preprocess {self.app.preprocess} says which values the files take; leave "
                "--input-range out"
            )
        if self.io == "int8" and self.app.preprocess == "uint8":
            raise SpecError("--preprocess uint8 takes bytes already; leave --io int8 out")
        if self.name and not _NAME.fullmatch(self.name):
            raise SpecError(
                f"--name {self.name!r} is no name for files; use letters, digits, '_', '-' and "
                "'.', a letter or digit first"
            )
        if self.input_range is not None:
            low, high = self.input_range
            if not -math.inf < low < high < math.inf:
                raise SpecError(
                    f"the input range {low:g},{high:g} is empty; give 0,255 or the like"
                )

    def request_key(self) -> str:
        """Return the SHA-256 of everything that decides the result, without loading torch.

        Raises:
            WeightsError: The checkpoint cannot be read.
            DataError: The samples or the calibration data cannot be read.
        """
        return content_key(
            {**self.decisive_options(), "source": to_plain(self.source), "name": self.name}
        )

    def code_place(self) -> str:
        """Return where the network's code lies: ``zoo``, an installed package, or a path.

        A path is told from the output folder, so that a project may move with its files.
        """
        if not isinstance(self.source, ModuleSource):
            return "zoo"
        installed = find_distributions(self.source)
        paths = [os.path.relpath(path, self.out) for path in find_sources(self.source)]
        return ", ".join(installed or paths)

    def decisive_options(self) -> dict[str, Any]:
        """Return the options, code and versions that decide the bytes, besides the network."""
        import export
        import pfd_models

        roots = [Path(p) for package in (export, pfd_models) for p in package.__path__]
        extra: tuple[str, ...] = ()
        if isinstance(self.source, ModuleSource):
            roots += find_sources(self.source)
            imported, extra = find_imports(self.source)
            roots += imported
            extra = (*find_distributions(self.source), *extra)
        return {
            "code": source_digest(roots),
            "weights": self._weights_digest(),
            "weights_key": self.weights_key,
            "seed": self.seed,
            "backend": self.backend,
            "tflite_io": self.tflite_io,
            "pte_io": self.pte_io,
            "input_range": self.input_range,
            "samples": samples_digest(self.samples),
            "allow_flat_output": self.allow_flat_output,
            "precision": self.precision,
            "calibration": (
                self.calibration.digest(choosing=self.max_loss is not None)
                if self.calibration is not None
                else ""
            ),
            "io": self.io,
            "app": self.app.digest(),
            "keep_float": self.keep_float,
            "max_loss": self.max_loss,
            "versions": versions(extra),
        }

    def _weights_digest(self) -> str:
        if self.weights is None:
            return ""
        try:
            return sha256_file(self.weights)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise WeightsError(f"cannot read the checkpoint {self.weights}: {reason}") from error


def content_key(parts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain data in a canonical form."""
    return hashlib.sha256(json.dumps(to_plain(parts), sort_keys=True).encode()).hexdigest()
