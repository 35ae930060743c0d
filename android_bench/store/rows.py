"""Records to rows and back. A row is a record's stored form; arrays go to packed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from android_bench.records import (
    ArtifactRecord,
    Block,
    CampaignRecord,
    DeviceRecord,
    HeatChild,
    HeatRecord,
    OperatorProfile,
    TurnSamples,
)
from android_bench.records.stored_form import (
    block_fields,
    block_of_fields,
    campaign_fields,
    campaign_of_fields,
)
from android_bench.store import packing, schema
from pfd_models.plain_data import from_plain, to_plain

__all__ = [
    "arm_rows",
    "artifact_row",
    "block_from",
    "block_row",
    "campaign_from",
    "campaign_row",
    "device_row",
    "heat_from",
    "heat_row",
    "operator_rows",
    "profile_from",
    "record_from",
    "record_row",
    "samples_row",
    "turns_row",
]

T = TypeVar("T")
Row = Mapping[Any, Any]


def record_row(record: object) -> dict[str, Any]:
    """Return the row of a record whose fields are its columns."""
    row: dict[str, Any] = to_plain(record)
    return row


def record_from(kind: type[T], row: Row, *, without: Sequence[str] = ()) -> T:
    """Return the record of a row.

    Args:
        kind: The record's class.
        row: Column to value.
        without: Columns that are no fields, as the row's own number.
    """
    return from_plain(kind, {str(k): v for k, v in row.items() if k not in without})


def device_row(record: DeviceRecord) -> dict[str, Any]:
    """Return a device's row."""
    return {"device_id": record.device_id, **record_row(record)}


def artifact_row(record: ArtifactRecord) -> dict[str, Any]:
    """Return a file's row."""
    return record_row(record)


def campaign_row(record: CampaignRecord) -> dict[str, Any]:
    """Return a campaign's row, without its arms."""
    return {name: value for name, value in campaign_fields(record).items() if name != "arms"}


def arm_rows(record: CampaignRecord) -> list[dict[str, Any]]:
    """Return the rows of a campaign's arms, in the order shown."""
    return [
        {"campaign_id": record.campaign_id, "place": place, **record_row(arm)}
        for place, arm in enumerate(record.arms)
    ]


def campaign_from(row: Row, arms: Sequence[Row]) -> CampaignRecord:
    """Return a campaign from its row and the rows of its arms, in order."""
    plain_arms = [
        {str(k): v for k, v in arm.items() if k not in ("campaign_id", "place")} for arm in arms
    ]
    plain = {str(k): v for k, v in row.items()}  # the database's names are a kind of their own
    return campaign_of_fields({**plain, "arms": plain_arms})


def block_row(block: Block) -> dict[str, Any]:
    """Return a block's row, without its samples."""
    arrays = ("samples_ns", "cpus")
    return {name: value for name, value in block_fields(block).items() if name not in arrays}


def samples_row(block: Block, block_id: int) -> dict[str, Any]:
    """Return the row of a block's samples."""
    return {
        "block_id": block_id,
        "count": len(block.run.samples_ns),
        "samples_ns": packing.pack_int64(block.run.samples_ns),
        "cpus": packing.pack_int16(block.run.cpus),
    }


def block_from(row: Row) -> Block:
    """Return a block from the joined row of `blocks` and `samples`.

    Raises:
        IntegrityError: The samples are damaged.
    """
    plain = {str(k): v for k, v in row.items() if k not in ("block_id", "count")}
    plain["samples_ns"] = packing.unpack_int64(plain["samples_ns"], row["count"])
    plain["cpus"] = packing.unpack_int16(plain["cpus"], row["count"])
    return block_of_fields(plain)


_TURNS_16, _TURNS_64 = ("turn_child",), ("turn_begin_ns", "turn_end_ns", "turn_freq_khz")


def heat_row(heat: HeatRecord) -> dict[str, Any]:
    """Return a heat's row, without its turns."""
    row: dict[str, Any] = to_plain(heat, without=("turns",))
    return row


def turns_row(turns: TurnSamples, heat_id: int) -> dict[str, Any]:
    """Return the row of a heat's turns and samples, packed."""
    return {
        "heat_id": heat_id,
        "turn_count": len(turns.turn_child),
        "sample_count": len(turns.samples_ns),
        **{name: packing.pack_int16(getattr(turns, name)) for name in (*_TURNS_16, "cpus")},
        **{
            name: packing.pack_int64(getattr(turns, name).astype(np.int64))
            for name in (*_TURNS_64, "turn_first", "samples_ns")
        },
    }


def heat_from(row: Row) -> HeatRecord:
    """Return a heat from the joined row of `heats` and `turns`.

    Raises:
        IntegrityError: The samples are damaged.
    """
    packed = set(schema.turns.columns.keys())
    plain = {str(k): v for k, v in row.items() if k not in packed}
    children = from_plain(tuple[HeatChild, ...], plain.pop("children"), what="a stored heat")
    turns, samples = row["turn_count"], row["sample_count"]
    return from_plain(
        HeatRecord,
        {
            **plain,
            "children": to_plain(children),
            "turns": {
                "children": [child.label for child in children],
                "turn_child": packing.unpack_int16(row["turn_child"], turns),
                "turn_first": packing.unpack_int64(row["turn_first"], turns + 1),
                **{name: packing.unpack_int64(row[name], turns) for name in _TURNS_64},
                "samples_ns": packing.unpack_int64(row["samples_ns"], samples),
                "cpus": packing.unpack_int16(row["cpus"], samples),
            },
        },
    )


def operator_rows(profile: OperatorProfile, profile_id: int) -> list[dict[str, Any]]:
    """Return the rows of a profile's operators, in the order they run."""
    return [
        {
            "profile_id": profile_id,
            "place": place,
            **to_plain(operator, without=("samples_ns",)),
            "count": len(operator.samples_ns),
            "samples_ns": packing.pack_int64(np.asarray(operator.samples_ns, np.int64)),
        }
        for place, operator in enumerate(profile.operators)
    ]


def profile_from(row: Row, operators: Sequence[Row]) -> OperatorProfile:
    """Return a profile from its row and its operators' rows, in order.

    Raises:
        IntegrityError: The samples are damaged.
    """
    times = tuple(
        {
            **{name: o[name] for name in ("name", "kind", "delegate")},
            "samples_ns": packing.unpack_int64(o["samples_ns"], o["count"]).tolist(),
        }
        for o in operators
    )
    return record_from(OperatorProfile, {**row, "operators": times}, without=("profile_id",))
