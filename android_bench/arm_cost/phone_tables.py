"""Tables of latencies that phones measured, as a JSON file, and how their networks are built here.

The file: ``{"tables": [{"id", "device", "runtime", "threads", "precision", "source", "rows":
[{"model", "ms", "input", "precision"}]}]}``; docs/arm-cost.md describes each field. More fields may
stand beside these and are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from msgspec import Struct, field

from pfd_models.errors import InputError, unknown
from pfd_models.plain_data import decode_json

__all__ = [
    "Network",
    "PhoneRow",
    "PhoneTable",
    "choose_tables",
    "read_networks",
    "read_tables",
]

_FLOAT32 = ("fp32", "float", "float32")


class PhoneRow(Struct, frozen=True, kw_only=True):
    """One network on one phone.

    Attributes:
        model: As the source calls it.
        ms: Latency in milliseconds.
        precision: ``fp32`` and the like; empty: the table's.
        flag: Why the row is not to be used; empty where nothing speaks against it.
    """

    model: str
    ms: float
    precision: str = ""
    flag: str = ""


class PhoneTable(Struct, frozen=True, kw_only=True):
    """What one source measured on one phone with one runtime.

    Attributes:
        id: A name for it.
        device: The phone.
        runtime: With its version.
        threads: As a number; text or null stands for unknown.
        precision: Of rows that have none of their own; what follows the first word is a remark.
        soc: The processor.
        core: What is known of the core.
        source: Where the numbers were published.
        rows: The networks.
    """

    id: str
    device: str
    runtime: str
    rows: tuple[PhoneRow, ...]
    threads: int | str | None = None
    precision: str = ""
    soc: str = ""
    core: str = ""
    source: str = ""

    @property
    def float32_rows(self) -> tuple[PhoneRow, ...]:
        """Return the rows of float32, but for those that are flagged."""
        return tuple(
            row
            for row in self.rows
            if not row.flag and _is_float32(row.precision or self.precision)
        )

    @property
    def is_single_thread(self) -> bool:
        """Whether the source is known to have used one thread."""
        return self.threads == 1

    @property
    def is_counted_runtime(self) -> bool:
        """Whether it is a runtime whose kernels are counted here."""
        return self.runtime.lower().startswith(("litert", "tflite", "executorch"))


def _is_float32(text: str) -> bool:
    # ncnn calls "float" what it computes in half precision, and says so behind.
    first = text.lower().replace(";", " ").replace(",", " ").split(maxsplit=1)[:1]
    return bool(first) and first[0] in _FLOAT32 and "fp16" not in text.lower()


class _Document(Struct):
    tables: list[PhoneTable] = field(default_factory=list)


def read_tables(path: Path) -> tuple[PhoneTable, ...]:
    """Read a file of tables.

    Raises:
        InputError: It is absent, damaged, or a latency is not above zero.
    """
    tables = tuple(decode_json(_Document, _read(path), what=str(path), strict=False).tables)
    for table in tables:
        for row in table.rows:
            if not 0 < row.ms < float("inf"):
                raise InputError(
                    f"{path}: table {table.id} gives {row.model} {row.ms:g} ms; correct the row"
                )
    return tables


def choose_tables(tables: Sequence[PhoneTable], names: Sequence[str]) -> tuple[PhoneTable, ...]:
    """Return the tables of these names, or all single-thread ones where none is named.

    Raises:
        InputError: A name is unknown, or there is no table to fit.
    """
    by_id = {table.id: table for table in tables}
    for name in names:
        if name not in by_id:
            raise InputError(unknown("table", name, by_id))
    chosen = [by_id[name] for name in names] or [t for t in tables if t.is_single_thread]
    chosen = [table for table in chosen if table.float32_rows]
    if not chosen:
        raise InputError("no table of one thread with rows of fp32: name another with --table")
    return tuple(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How a network of a table is built here, with random weights.

    Attributes:
        target: As ``pfd-build --module`` takes it.
        side: Height and width of its input in pixels.
    """

    target: str
    side: int = 224


class _Networks(Struct):
    networks: dict[str, Network]


def read_networks(path: Path | None = None) -> Mapping[str, Network]:
    """Read which builder a table's network name stands for.

    Args:
        path: A file of the user's; None for the one that comes with this.

    Raises:
        InputError: It is absent or damaged.
    """
    if path is not None:
        return decode_json(_Networks, _read(path), what=str(path)).networks
    text = resources.files("android_bench.arm_cost").joinpath("networks.json").read_bytes()
    return decode_json(_Networks, text, what="networks.json").networks


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read {path}: {reason}; correct the path") from error
