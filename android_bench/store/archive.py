"""Store: what the bench calls to keep records and to read them again. Append only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

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
from pfd_models.errors import InputError

__all__ = ["CampaignOverview", "Store", "open_store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignOverview:
    """One line of a list: a campaign and how far it came.

    Attributes:
        campaign: What was to be measured.
        device: On what.
        blocks: How many blocks, or heats, are stored, repeats included.
        flagged: How many of them were disturbed.
        last_event: The latest event; None when there is none.
    """

    campaign: CampaignRecord
    device: DeviceRecord
    blocks: int
    flagged: int
    last_event: Event | None


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


class Store:
    """Records in a database; every `add_` is one transaction and durable when it returns."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        self._url = url
        self._arms: dict[str, Mapping[str, Arm]] = {}

    @property
    def name(self) -> str:
        """Return the store's path or URL, without a password."""
        return shown(self._url)

    def close(self) -> None:
        """Give the connections back; a SQLite store is one file again."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the store."""
        with store_errors(self._url), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes appear together, or not at all after an error."""
        with store_errors(self._url), self._writer.begin() as connection:
            yield connection

    # -- writing ---------------------------------------------------------------------------

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

    # -- reading ---------------------------------------------------------------------------

    def campaigns(self) -> tuple[CampaignRecord, ...]:
        """Return every campaign, the oldest first."""
        with self.reading() as connection:
            return queries.campaigns(connection)

    def campaign(self, name: str) -> CampaignRecord:
        """Return one campaign by its id, by an unambiguous beginning of it, or by ``last``.

        Raises:
            InputError: No campaign, or more than one, is called so.
        """
        known = self.campaigns()
        if name == "last" and known:
            return known[-1]
        found = [c for c in known if c.campaign_id == name] or [
            c for c in known if name and c.campaign_id.startswith(name)
        ]
        if len(found) == 1:
            return found[0]
        wrong = "no campaign" if not found else f"{len(found)} campaigns"
        ids = ", ".join(c.campaign_id for c in (found or known)[-5:]) or "none yet"
        raise InputError(f"{self.name} has {wrong} {name!r}; choose one of: {ids}")

    def device(self, device_id: str) -> DeviceRecord:
        """Return a device by its id.

        Raises:
            InputError: The store has no such device.
        """
        with self.reading() as connection:
            found = queries.devices(connection)
        if device_id not in found:
            raise self._no_device(device_id)
        return found[device_id]

    def _no_device(self, device_id: str) -> InputError:
        return InputError(f"{self.name} has no device {device_id!r}; restore a backup")

    def artifacts(self, campaign_id: str) -> Mapping[str, ArtifactRecord]:
        """Return the files of a campaign by SHA-256, in the order of its arms."""
        with self.reading() as connection:
            return queries.artifacts(connection, campaign_id)

    def blocks(self, campaign_id: str, label: str | None = None) -> tuple[Block, ...]:
        """Return a campaign's blocks, repeats included, in the order they ran.

        Args:
            campaign_id: The campaign's whole id.
            label: Only this arm's.

        Raises:
            IntegrityError: The stored samples are damaged.
        """
        with self.reading() as connection:
            return queries.blocks(connection, campaign_id, label)

    def heats(self, campaign_id: str) -> tuple[HeatRecord, ...]:
        """Return a campaign's heats, repeats included, in the order they ran.

        Raises:
            IntegrityError: The stored samples are damaged.
        """
        with self.reading() as connection:
            return queries.heats(connection, campaign_id)

    def events(self, campaign_id: str) -> tuple[Event, ...]:
        """Return a campaign's events, the oldest first."""
        with self.reading() as connection:
            found = queries.of_campaign(connection, schema.events, campaign_id)
        return tuple(rows.record_from(Event, row, without=("event_id",)) for row in found)

    def memory(self, campaign_id: str) -> tuple[MemoryRecord, ...]:
        """Return a campaign's memory passes, the oldest first."""
        with self.reading() as connection:
            found = queries.of_campaign(connection, schema.memory, campaign_id)
        return tuple(rows.record_from(MemoryRecord, row, without=("memory_id",)) for row in found)

    def arm_counts(self, sha256: str) -> tuple[ArmCount, ...]:
        """Return what was counted of a file, the oldest first."""
        with self.reading() as connection:
            found = queries.arm_counts(connection, sha256)
        return tuple(rows.record_from(ArmCount, row, without=("count_id",)) for row in found)

    def counted_files(self) -> tuple[tuple[ArtifactRecord, ArmCount], ...]:
        """Return every count with its file, the oldest first."""
        with self.reading() as connection:
            files = queries.counted_artifacts(connection)
            found = [
                (file, rows.record_from(ArmCount, row, without=("count_id",)))
                for sha256, file in files.items()
                for row in queries.arm_counts(connection, sha256)
            ]
        return tuple(sorted(found, key=lambda pair: pair[1].counted_utc))

    def profiles(self, campaign_id: str) -> tuple[OperatorProfile, ...]:
        """Return a campaign's operator profiles, the oldest first.

        Raises:
            IntegrityError: The stored samples are damaged.
        """
        with self.reading() as connection:
            return queries.profiles(connection, campaign_id)

    def foreign(self) -> tuple[ForeignResult, ...]:
        """Return everything that others published, by source and row."""
        table = schema.foreign_results
        with self.reading() as connection:
            found = queries.fetch(connection, table.select().order_by(*table.primary_key.columns))
        return tuple(rows.record_from(ForeignResult, row) for row in found)

    def overview(self) -> tuple[CampaignOverview, ...]:
        """Return every campaign with how far it came, the oldest first; reads no samples."""
        with self.reading() as connection:
            devices = queries.devices(connection)
            flags = queries.flag_lists(connection)
            known = queries.campaigns(connection)
        lines = []
        for campaign in known:
            if campaign.device_id not in devices:
                raise self._no_device(campaign.device_id)
            mine = flags.get(campaign.campaign_id, [])
            events = self.events(campaign.campaign_id)
            line = CampaignOverview(
                campaign=campaign,
                device=devices[campaign.device_id],
                blocks=len(mine),
                flagged=sum(1 for f in mine if f),
                last_event=events[-1] if events else None,
            )
            lines.append(line)
        return tuple(lines)
