"""From any older store to the present schema: one function per version, in order.

A function is frozen once released: it says what changed then, in plain SQL of both databases,
and never refers to the present tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, inspect, text

from android_bench.store.schema import SCHEMA_VERSION, metadata, schema_version
from pfd_models.errors import InputError

__all__ = ["MIGRATIONS", "bring_up_to_date", "stored_version"]

# Any number that no other program locks: makes PostgreSQL run one migration at a time.
_MIGRATION_LOCK = 7_364_001


def _to_2(connection: Connection) -> None:
    """Add what the delegation report and the model tables know about a file."""
    connection.execute(text("ALTER TABLE artifacts ADD COLUMN leftovers INTEGER"))
    connection.execute(text("ALTER TABLE artifacts ADD COLUMN params BIGINT"))
    connection.execute(text("ALTER TABLE artifacts ADD COLUMN macs BIGINT"))


def _to_3(connection: Connection) -> None:
    """Add heats, in which variants take turns.

    Readings got fields too; they are JSON, and what an old one lacks reads as not known.
    """
    postgres = connection.dialect.name == "postgresql"
    number = "SERIAL" if postgres else "INTEGER"
    packed = "BYTEA" if postgres else "BLOB"
    connection.execute(
        text(
            f"CREATE TABLE heats (heat_id {number} NOT NULL PRIMARY KEY, campaign_id VARCHAR NOT "
            "NULL REFERENCES campaigns (campaign_id), number INTEGER NOT NULL, attempt INTEGER "
            "NOT NULL, started_utc VARCHAR NOT NULL, children JSON NOT NULL, before JSON NOT NULL, "
            "after JSON NOT NULL, flags JSON NOT NULL, harness_version VARCHAR NOT NULL, "
            "UNIQUE (campaign_id, number, attempt))"
        )
    )
    columns = "turn_child turn_first turn_begin_ns turn_end_ns turn_freq_khz samples_ns cpus"
    arrays = ", ".join(f"{name} {packed} NOT NULL" for name in columns.split())
    connection.execute(
        text(
            "CREATE TABLE turns (heat_id INTEGER NOT NULL PRIMARY KEY REFERENCES heats (heat_id), "
            f"turn_count INTEGER NOT NULL, sample_count INTEGER NOT NULL, {arrays})"
        )
    )


def _to_4(connection: Connection) -> None:
    """Add what an 8-bit file was calibrated on."""
    connection.execute(
        text("ALTER TABLE artifacts ADD COLUMN calibration VARCHAR NOT NULL DEFAULT ''")
    )


def _to_5(connection: Connection) -> None:
    """Add what files execute on an emulated core."""
    columns = (
        "engine engine_version core cpu_model caches emulator counter_version harness_version "
        "counted_utc"
    )
    texts = ", ".join(f"{name} VARCHAR NOT NULL" for name in columns.split())
    connection.execute(
        text(
            "CREATE TABLE arm_counts (count_id VARCHAR NOT NULL PRIMARY KEY, artifact_sha256 "
            f"VARCHAR(64) NOT NULL REFERENCES artifacts (sha256), {texts}, counts JSON NOT NULL, "
            "spread FLOAT NOT NULL, operators JSON NOT NULL, blocks JSON NOT NULL)"
        )
    )
    connection.execute(
        text("CREATE INDEX ix_arm_counts_artifact_sha256 ON arm_counts (artifact_sha256)")
    )


def _to_6(connection: Connection) -> None:
    """Add what others published."""
    number = "DOUBLE PRECISION" if connection.dialect.name == "postgresql" else "FLOAT"
    texts = "model file device os accelerator delegate runtime"
    columns = ", ".join(f"{name} VARCHAR NOT NULL" for name in texts.split())
    connection.execute(
        text(
            "CREATE TABLE foreign_results (source VARCHAR NOT NULL, row_id VARCHAR NOT NULL, "
            f"measured_on VARCHAR NOT NULL, {columns}, median_ms {number} NOT NULL, "
            f"p95_ms {number}, runs INTEGER, silent_about JSON NOT NULL, "
            "PRIMARY KEY (source, row_id, measured_on))"
        )
    )


MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {
    2: _to_2,
    3: _to_3,
    4: _to_4,
    5: _to_5,
    6: _to_6,
}


def stored_version(connection: Connection, name: str) -> int:
    """Return the store's schema version, 0 when the database is empty.

    Args:
        connection: Of the store.
        name: What to call the store in a message.

    Raises:
        InputError: The store was written by a newer version, or the database is another
            program's.
    """
    tables = set(inspect(connection).get_table_names())
    if "schema_version" not in tables:
        if foreign := sorted(tables & set(metadata.tables)):
            raise InputError(
                f"{name} has a table {foreign[0]!r} that is not the bench's; "
                "choose another database"
            )
        return 0
    version = connection.execute(schema_version.select()).scalar_one_or_none()
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{name} is no bench store: it has no schema version; choose another")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{name} is store schema {version}, this version reads up to {SCHEMA_VERSION}; "
            "update this program or choose another store"
        )
    return version


def bring_up_to_date(connection: Connection, name: str) -> None:
    """Create or upgrade the schema, inside the caller's write transaction.

    Raises:
        InputError: As `stored_version`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
    version = stored_version(connection, name)
    if version == SCHEMA_VERSION:
        return
    if version == 0:
        metadata.create_all(connection)
        connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))
        return
    for target in range(version + 1, SCHEMA_VERSION + 1):
        MIGRATIONS[target](connection)
    connection.execute(schema_version.update().values(version=SCHEMA_VERSION))
