"""Raw samples for one's own analysis: one row a timed inference, as CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from android_bench.records import Block
from android_bench.store import Store
from export.sets.files import atomic_write
from pfd_models.errors import InputError

__all__ = ["COLUMNS", "export_samples"]

COLUMNS = (
    "campaign_id",
    "block_index",
    "attempt",
    "round",
    "position",
    "label",
    "artifact_sha256",
    "engine",
    "threads",
    "cpu_mask",
    "handicap_ppm",
    "flags",
    "sample",
    "latency_ns",
    "cpu",
)


def export_samples(store: Store, campaign_ids: Sequence[str], path: Path) -> int:
    """Write every sample of some campaigns, whole or not at all.

    Args:
        store: Where they are.
        campaign_ids: Whole ids or what `Store.campaign` takes.
        path: ``.csv`` or ``.parquet``.

    Returns:
        How many rows were written.

    Raises:
        InputError: A campaign is unknown, or the ending or pyarrow is missing.
        OutputError: The path cannot be written.
    """
    writers = {".csv": _csv, ".parquet": _parquet}
    if path.suffix not in writers:
        raise InputError(f"cannot tell the format of {path}: name it .csv or .parquet")
    ids = [store.campaign(name).campaign_id for name in campaign_ids]
    blocks = [block for campaign_id in ids for block in store.blocks(campaign_id)]
    atomic_write(path, writers[path.suffix](blocks))
    return sum(len(block.run.samples_ns) for block in blocks)


def _rows(block: Block) -> Iterator[tuple[Any, ...]]:
    constant = (
        block.campaign_id,
        block.index,
        block.attempt,
        block.round,
        block.position,
        block.label,
        block.artifact_sha256,
        block.engine,
        block.threads,
        hex(block.cpu_mask),
        block.run.handicap_ppm,
        " ".join(sorted(flag.value for flag in block.flags)),
    )
    pairs = zip(block.run.samples_ns.tolist(), block.run.cpus.tolist(), strict=True)
    for sample, (latency_ns, cpu) in enumerate(pairs):
        yield (*constant, sample, latency_ns, cpu)


def _csv(blocks: Sequence[Block]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for block in blocks:
        writer.writerows(_rows(block))
    return text.getvalue().encode()


def _parquet(blocks: Sequence[Block]) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise InputError(
            "Parquet needs the extra 'parquet': pip install 'pfd-mobile[parquet]', "
            "or name the file .csv"
        ) from error
    rows = [row for block in blocks for row in _rows(block)]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    numbers = {"block_index", "attempt", "round", "position", "threads", "handicap_ppm", "sample"}
    kinds = {"latency_ns": pa.int64(), "cpu": pa.int16()} | dict.fromkeys(numbers, pa.int32())
    table = pa.table(
        {
            name: pa.array(values, kinds.get(name, pa.string()))
            for name, values in zip(COLUMNS, columns, strict=True)
        }
    )
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd")
    return target.getvalue()
