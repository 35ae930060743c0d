"""What a fit was made of, as a JSON document: what phones measured beside what was counted here.

It holds no constants: they are derived whenever it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.arm_cost.document import read_written
from android_bench.arm_cost.latency_model import BASELINE, MeasuredNetwork
from android_bench.arm_cost.latency_validation import Validation, validate_all
from android_bench.records import ArmCount
from pfd_models.errors import InputError
from pfd_models.files import atomic_write
from pfd_models.plain_data import decode_json, to_plain

__all__ = [
    "FittedTable",
    "LatencyDocument",
    "WayOfCounting",
    "read_latency_document",
    "require_same_way",
    "way_of",
    "write_latency_document",
]

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOfCounting:
    """What a count has to have in common with those of a fit; as in `ArmCount`.

    Attributes:
        engine: Its name.
        engine_version: Of the runtime.
        core: What the engine was told.
        caches: The model's.
        version: Of the way of counting.
    """

    engine: str
    engine_version: str
    core: str
    caches: str
    version: str


def way_of(count: ArmCount) -> WayOfCounting:
    """Return how a count was made."""
    return WayOfCounting(
        engine=count.engine,
        engine_version=count.engine_version,
        core=count.core,
        caches=count.caches,
        version=count.counter_version.partition("+")[0],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTable:
    """One phone and runtime.

    Attributes:
        id: Of the table.
        device: The phone.
        runtime: That measured.
        counted_runtime: Whether that is the runtime whose kernels were counted.
        source: Where the latencies were published.
        way: How its networks were counted.
        networks: Measured and counted.
        left_out: Network to why it is not among them.
        cycles_by: What modelled their cycles; empty where nothing did.
    """

    id: str
    device: str
    runtime: str
    counted_runtime: bool
    source: str
    way: WayOfCounting
    networks: tuple[MeasuredNetwork, ...]
    left_out: Mapping[str, str]
    cycles_by: str = ""

    def validate_all(self) -> dict[str, Validation]:
        """Return every predictor that its networks can fix, validated on networks left out.

        Raises:
            InputError: There are too few networks for any.
        """
        validations = validate_all(self.networks)
        if BASELINE not in validations:
            raise InputError(
                f"table {self.id} has {len(self.networks)} networks that were counted: a fit "
                "needs two or more; name more builders with --networks"
            )
        return validations


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyDocument:
    """The document.

    Attributes:
        latency_document: Its version.
        tables: One for each phone and runtime.
    """

    latency_document: int
    tables: tuple[FittedTable, ...]


def write_latency_document(path: Path, tables: Sequence[FittedTable]) -> None:
    """Write the document.

    Raises:
        OutputError: The place cannot be written.
    """
    document = LatencyDocument(latency_document=VERSION, tables=tuple(tables))
    atomic_write(path, json.dumps(to_plain(document), indent=1, allow_nan=False) + "\n")


def read_latency_document(path: Path) -> LatencyDocument:
    """Read a document.

    Raises:
        InputError: It is absent, damaged or of a newer version.
    """
    text = read_written(path, f"pfd-arm fit --phones FILE --json {path}")
    document = decode_json(LatencyDocument, text, what=str(path), strict=False)
    if document.latency_document > VERSION:
        raise InputError(
            f"{path} is of version {document.latency_document}, this program reads up to "
            f"{VERSION}; update it"
        )
    return document


def require_same_way(table: FittedTable, count: ArmCount, file: str) -> None:
    """Refuse an estimate from counts that were made in another way than those of the fit.

    Raises:
        InputError: Engine, its version, core, model of the caches or way of counting differ.
    """
    for name in WayOfCounting.__dataclass_fields__:
        fitted, counted = getattr(table.way, name), getattr(way_of(count), name)
        if fitted != counted:
            raise InputError(
                f"{file} was counted with {name.replace('_', ' ')} {counted}, the fit of "
                f"{table.id} with {fitted}: make the fit again with pfd-arm fit, or count alike"
            )
