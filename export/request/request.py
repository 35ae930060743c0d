"""What one build is asked to make, as plain data that crosses process borders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from export.request.provenance import source_digest, versions
from export.request.source import ModuleSource, ZooSource
from export.request.user_code import find_distributions, find_sources
from export.sets.files import sha256_file
from pfd_models.errors import SpecError, WeightsError
from pfd_models.plain_data import to_plain

__all__ = ["BuildRequest", "content_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One set of artifacts to make.

    Attributes:
        source: What network.
        formats: Which files, by format name.
        weights: A checkpoint; None leaves the seeded initialisation.
        seed: Of the initialisation and of the parity inputs.
        out: The folder to publish into.
        backend: The delegate of the ``.pte``.
        tflite_io: Layout of the ``.tflite``'s image inputs and outputs.
        require_all_formats: Refuse a set that lacks a format, instead of making the others.
        require_full_delegation: Refuse a set with an operator outside its delegate.
        force: Build even when nothing changed.
        verbose: Let the libraries' own logs through.
    """

    source: ZooSource | ModuleSource
    formats: tuple[str, ...] = ("pte", "onnx", "tflite")
    weights: Path | None = None
    seed: int = 0
    out: Path = Path("artifacts")
    backend: str = "xnnpack"
    tflite_io: Literal["nhwc", "nchw"] = "nhwc"
    require_all_formats: bool = False
    require_full_delegation: bool = False
    force: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        """Refuse what no build can satisfy."""
        if not self.formats:
            raise SpecError("no format to build: give at least one of pte, onnx, tflite")
        if self.seed < 0:
            raise SpecError(f"seed {self.seed} is negative; give 0 or more")

    def request_key(self) -> str:
        """Return the SHA-256 of everything that decides the result, without loading torch.

        Raises:
            WeightsError: The checkpoint cannot be read.
        """
        return content_key({**self.decisive_options(), "source": to_plain(self.source)})

    def decisive_options(self) -> dict[str, Any]:
        """Return the options, code and versions that decide the bytes, besides the network."""
        import export
        import pfd_models

        roots = [Path(p) for package in (export, pfd_models) for p in package.__path__]
        extra: tuple[str, ...] = ()
        if isinstance(self.source, ModuleSource):
            roots += find_sources(self.source)
            extra = find_distributions(self.source)
        return {
            "code": source_digest(roots),
            "weights": self._weights_digest(),
            "seed": self.seed,
            "backend": self.backend,
            "tflite_io": self.tflite_io,
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
