"""Store: what the bench calls to keep records and to read them again. Append only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import URL, Connection, Engine

from android_bench.records import (
    Arm,
    ArmCount,
    ArtifactRecord,
    Block,
    CampaignRecord,
    DeviceRecord,
    Event,
    ForeignResult,
    HeatRecord,
    MemoryRecord,
    OperatorProfile,
)
from android_bench.store import queries, rows, schema
from android_bench.store.connection import make_engine, parse_url, shown, store_errors
from android_bench.store.migrations import bring_up_to_date, stored_version
from android_bench.store.reader import StoreReader
from pfd_models.errors import InputError

__all__ = ["Store", "open_store"]


def open_store(url: str, *, create: bool = True) -> Store:
    """Open a store, creating or upgrading its tables when needed.

    Args:
        url: A file's path, taken as it stands; ``sqlite:///bench.sqlite``; or
            ``postgresql://user@host/database``.
        create: Whether a SQLite file may be created.

    Raises:
        InputError: The URL, the file or the server's answer is wrong, or the store is newer.
        OutputError: The place cannot be written or the disk is full.
        DeviceError: The server cannot be reached.
    """
    parsed = parse_url(url)
    engine = make_engine(parsed, create=create)
    with store_errors(parsed):
        try:
            with engine.connect() as connection:
                current = stored_version(connection, shown(parsed)) == schema.SCHEMA_VERSION
            if not current:
                with engine.execution_options(writes=True).begin() as connection:
                    bring_up_to_date(connection, shown(parsed))
        except BaseException:
            engine.dispose()
            raise
    return Store(engine, parsed)


class Store(StoreReader):
    """Records in a database; every `add_` is one transaction and durable when it returns."""

    def __init__(self, engine: Engine, url: URL) -> None:
        super().__init__(engine, url)
        self._writer = engine.execution_options(writes=True)
        self._arms: dict[str, Mapping[str, Arm]] = {}

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes appear together, or not at all after an error."""
        with store_errors(self._url), self._writer.begin() as connection:
            yield connection

    def add_campaign(
        self, campaign: CampaignRecord, device: DeviceRecord, artifacts: Iterable[ArtifactRecord]
    ) -> None:
        """Store a campaign with its device and files; known devices and files are kept.

        Raises:
            InputError: The campaign is stored already, or it names another device or file.
        """
        files = {record.sha256: record for record in artifacts}
        if campaign.device_id != device.device_id:
            raise InputError(
                f"campaign {campaign.campaign_id} is for device {campaign.device_id}, "
                f"not for {device.device_id}; give its own record"
            )
        for arm in campaign.arms:
            if arm.artifact_sha256 not in files:
                raise InputError(
                    f"arm {arm.label!r} runs the file {arm.artifact_sha256[:12]}..., "
                    "which is not among the campaign's artifacts; add its record"
                )
        with self.writing() as connection:
            queries.refuse_known(connection, schema.campaigns, campaign_id=campaign.campaign_id)
            queries.insert_unless_known(connection, schema.devices, [rows.device_row(device)])
            queries.insert_unless_known(
                connection, schema.artifacts, [rows.artifact_row(f) for f in files.values()]
            )
            connection.execute(schema.campaigns.insert(), rows.campaign_row(campaign))
            connection.execute(schema.arms.insert(), rows.arm_rows(campaign))

    def add_block(self, block: Block) -> None:
        """Store a block with all its samples.

        Raises:
            InputError: It is stored already, or it is not what its arm says.
        """
        self._check_arm(block)
        with self.writing() as connection:
            queries.refuse_known(
                connection,
                schema.blocks,
                campaign_id=block.campaign_id,
                index=block.index,
                attempt=block.attempt,
            )
            block_id = queries.insert(connection, schema.blocks, rows.block_row(block))
            connection.execute(schema.samples.insert(), rows.samples_row(block, block_id))

    def add_heat(self, heat: HeatRecord) -> None:
        """Store a heat with all its turns and samples.

        Raises:
            InputError: It is stored already, or a process is none of its campaign's arms.
        """
        for child in heat.children:
            self._arm(heat.campaign_id, child.label)
        key = {"campaign_id": heat.campaign_id, "number": heat.number, "attempt": heat.attempt}
        with self.writing() as connection:
            queries.refuse_known(connection, schema.heats, **key)
            heat_id = queries.insert(connection, schema.heats, rows.heat_row(heat))
            connection.execute(schema.turns.insert(), rows.turns_row(heat.turns, heat_id))

    def add_event(self, event: Event) -> None:
        """Store an event."""
        with self.writing() as connection:
            connection.execute(schema.events.insert(), rows.record_row(event))

    def add_profile(self, profile: OperatorProfile) -> None:
        """Store an operator profile."""
        self._arm(profile.campaign_id, profile.label)
        with self.writing() as connection:
            row = {k: v for k, v in rows.record_row(profile).items() if k != "operators"}
            profile_id = queries.insert(connection, schema.profiles, row)
            connection.execute(schema.operators.insert(), rows.operator_rows(profile, profile_id))

    def add_memory(self, record: MemoryRecord) -> None:
        """Store a memory pass."""
        self._arm(record.campaign_id, record.label)
        with self.writing() as connection:
            connection.execute(schema.memory.insert(), rows.record_row(record))

    def add_arm_count(self, count: ArmCount, artifact: ArtifactRecord) -> None:
        """Store what a file executes, with the file; the same count again changes nothing.

        Raises:
            InputError: The count is another file's.
        """
        if count.artifact_sha256 != artifact.sha256:
            raise InputError(
                f"the count is of the file {count.artifact_sha256[:12]}..., not of "
                f"{artifact.file}; give its own record"
            )
        row = {"count_id": count.count_id, **rows.record_row(count)}
        with self.writing() as connection:
            queries.insert_unless_known(connection, schema.artifacts, [rows.artifact_row(artifact)])
            queries.insert_unless_known(connection, schema.arm_counts, [row])

    def add_foreign(self, found: Iterable[ForeignResult]) -> int:
        """Store what others published, all or nothing; known rows stay as they are.

        Returns:
            How many rows are new.
        """
        with self.writing() as connection:
            before = queries.count(connection, schema.foreign_results)
            new = [rows.record_row(one) for one in found]
            queries.insert_unless_known(connection, schema.foreign_results, new)
            return queries.count(connection, schema.foreign_results) - before

    def _arm(self, campaign_id: str, label: str) -> Arm:
        if campaign_id not in self._arms:
            arms = {arm.label: arm for arm in self.campaign(campaign_id).arms}
            self._arms[campaign_id] = arms
        if label not in self._arms[campaign_id]:
            known = ", ".join(repr(name) for name in self._arms[campaign_id])
            raise InputError(f"campaign {campaign_id} has no arm {label!r}; it has {known}")
        return self._arms[campaign_id][label]

    def _check_arm(self, block: Block) -> None:
        arm = self._arm(block.campaign_id, block.label)
        for key in ("artifact_sha256", "engine", "threads", "cpu_mask"):
            planned, ran = getattr(arm, key), getattr(block, key)
            if planned != ran:
                raise InputError(
                    f"block {block.index} does not belong to arm {block.label!r}: "
                    f"{key} is {ran!r}, planned was {planned!r}; it is not stored"
                )
