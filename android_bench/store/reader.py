"""StoreReader: what the bench reads again of what is kept. It changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sqlalchemy import URL, Connection, Engine

from android_bench.records import (
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
from android_bench.store.connection import shown, store_errors
from pfd_models.errors import InputError

__all__ = ["CampaignOverview", "StoreReader"]


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


class StoreReader:
    """Records in a database, to be read."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self._url = url

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
