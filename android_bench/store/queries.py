"""Reading and inserting on an open connection; `Store` wraps them in transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from android_bench.records import (
    ArtifactRecord,
    Block,
    CampaignRecord,
    DeviceRecord,
    HeatRecord,
    OperatorProfile,
)
from android_bench.store import rows, schema
from pfd_models.errors import InputError

__all__ = [
    "arm_counts",
    "artifacts",
    "blocks",
    "campaigns",
    "count",
    "counted_artifacts",
    "devices",
    "fetch",
    "flag_lists",
    "heats",
    "insert",
    "insert_unless_known",
    "of_campaign",
    "profiles",
    "refuse_known",
]

Row = Mapping[str, Any]


def fetch(connection: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    """Return the rows of a query, column name to value."""
    return [dict(row) for row in connection.execute(query).mappings()]


def count(connection: Connection, table: Table) -> int:
    """Return how many rows a table has."""
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def of_campaign(connection: Connection, table: Table, campaign_id: str) -> list[dict[str, Any]]:
    """Return a campaign's rows of one table, in the order they were written."""
    number = next(iter(table.primary_key.columns))
    query = select(table).where(table.c.campaign_id == campaign_id).order_by(number)
    return fetch(connection, query)


def campaigns(connection: Connection) -> tuple[CampaignRecord, ...]:
    """Return every campaign, the oldest first."""
    order = (schema.campaigns.c.started_utc, schema.campaigns.c.campaign_id)
    found = fetch(connection, select(schema.campaigns).order_by(*order))
    arms: dict[str, list[Row]] = {row["campaign_id"]: [] for row in found}
    for arm in fetch(connection, select(schema.arms).order_by(schema.arms.c.place)):
        if arm["campaign_id"] in arms:  # in a damaged store it may belong to none
            arms[arm["campaign_id"]].append(arm)
    return tuple(rows.campaign_from(row, arms[row["campaign_id"]]) for row in found)


def devices(connection: Connection) -> dict[str, DeviceRecord]:
    """Return every device by its id."""
    return {
        row["device_id"]: rows.record_from(DeviceRecord, row, without=("device_id",))
        for row in fetch(connection, select(schema.devices))
    }


def artifacts(connection: Connection, campaign_id: str) -> dict[str, ArtifactRecord]:
    """Return the files of a campaign by SHA-256, in the order of its arms."""
    query = (
        select(schema.artifacts)
        .select_from(schema.arms.join(schema.artifacts))
        .where(schema.arms.c.campaign_id == campaign_id)
        .order_by(schema.arms.c.place)
    )
    return {
        row["sha256"]: rows.record_from(ArtifactRecord, row) for row in fetch(connection, query)
    }


def blocks(connection: Connection, campaign_id: str, label: str | None) -> tuple[Block, ...]:
    """Return a campaign's blocks, repeats included, in the order they ran.

    Raises:
        IntegrityError: The stored samples are damaged.
    """
    b, s = schema.blocks, schema.samples
    query = select(b, s.c["count"], s.c.samples_ns, s.c.cpus).select_from(b.join(s))
    query = query.where(b.c.campaign_id == campaign_id).order_by(b.c["index"], b.c.attempt)
    if label is not None:
        query = query.where(b.c.label == label)
    return tuple(rows.block_from(row) for row in fetch(connection, query))


def heats(connection: Connection, campaign_id: str) -> tuple[HeatRecord, ...]:
    """Return a campaign's heats, repeats included, in the order they ran.

    Raises:
        IntegrityError: The stored samples are damaged.
    """
    h, t = schema.heats, schema.turns
    columns = [column for column in t.columns if column.name != "heat_id"]
    query = select(h, *columns).select_from(h.join(t))
    query = query.where(h.c.campaign_id == campaign_id).order_by(h.c.number, h.c.attempt)
    return tuple(rows.heat_from(row) for row in fetch(connection, query))


def arm_counts(connection: Connection, sha256: str) -> list[dict[str, Any]]:
    """Return the rows of what was counted of a file, the oldest first."""
    c = schema.arm_counts.c
    order = (c.counted_utc, c.count_id)
    return fetch(
        connection,
        select(schema.arm_counts).where(c.artifact_sha256 == sha256).order_by(*order),
    )


def counted_artifacts(connection: Connection) -> dict[str, ArtifactRecord]:
    """Return the files that something was counted of, by SHA-256."""
    counted = select(schema.arm_counts.c.artifact_sha256)
    query = select(schema.artifacts).where(schema.artifacts.c.sha256.in_(counted))
    return {
        row["sha256"]: rows.record_from(ArtifactRecord, row) for row in fetch(connection, query)
    }


def flag_lists(connection: Connection) -> dict[str, list[list[str]]]:
    """Return the flags of every block or heat by campaign; reads no samples."""
    found: dict[str, list[list[str]]] = {}
    for table in (schema.blocks, schema.heats):
        for row in fetch(connection, select(table.c.campaign_id, table.c.flags)):
            found.setdefault(row["campaign_id"], []).append(row["flags"])
    return found


def profiles(connection: Connection, campaign_id: str) -> tuple[OperatorProfile, ...]:
    """Return a campaign's operator profiles, the oldest first.

    Raises:
        IntegrityError: The stored samples are damaged.
    """
    o = schema.operators
    query = select(o).select_from(o.join(schema.profiles)).order_by(o.c.place)
    times: dict[int, list[Row]] = {}
    for row in fetch(connection, query.where(schema.profiles.c.campaign_id == campaign_id)):
        times.setdefault(row["profile_id"], []).append(row)
    found = of_campaign(connection, schema.profiles, campaign_id)
    return tuple(rows.profile_from(row, times.get(row["profile_id"], [])) for row in found)


def insert(connection: Connection, table: Table, row: Row) -> int:
    """Insert a row and return the number the database gave it."""
    key = connection.execute(table.insert().values(**row)).inserted_primary_key
    if key is None:  # only for inserts of several rows
        raise InputError(f"{table.name} gave no number")
    return int(key[0])


def insert_unless_known(connection: Connection, table: Table, new: Sequence[Row]) -> None:
    """Insert the rows whose key is not there yet; the first one stands, from whichever host."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_pg

        for row in new:
            connection.execute(insert_pg(table).values(**row).on_conflict_do_nothing())
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        for row in new:
            connection.execute(insert_sqlite(table).values(**row).on_conflict_do_nothing())


def refuse_known(connection: Connection, table: Table, **key: Any) -> None:
    """Refuse a record that is stored already.

    Raises:
        InputError: It is; the line names its key.
    """
    matches = [table.c[name] == value for name, value in key.items()]
    if connection.execute(select(func.count()).select_from(table).where(*matches)).scalar_one():
        what = ", ".join(f"{name} {value}" for name, value in key.items())
        raise InputError(f"{table.name} has {what} already; records are never replaced")
