"""A campaign's events: written as it goes, read to go on with it.

A *session* is the time from an event ``started`` or ``resumed`` to the next; what lies between
sessions was not measured and does not count as device time.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from android_bench.campaign.limits import Limits
from android_bench.records import Block, Event, Reading
from android_bench.store import Store
from pfd_models.plain_data import from_plain, to_plain

__all__ = ["Journal", "limits_now", "seconds_before", "utc_now"]

_BEGINNINGS = ("started", "resumed")
_RAISED = "limits_raised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Writes the events of one campaign."""

    store: Store
    campaign_id: str

    def begin(self, kind: str, message: str, reading: Reading, **facts: Any) -> None:
        """Begin a session: ``started`` or ``resumed``."""
        done = len(self.store.blocks(self.campaign_id))
        self.tell(kind, message, data={"blocks": done, "at_ns": reading.at_ns, **facts})

    def raised(self, message: str, limits: Limits) -> None:
        """Say that wider limits hold from here on."""
        self.tell(_RAISED, message, data=to_plain(limits))

    def tell(
        self,
        kind: str,
        message: str,
        *,
        block_index: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Put an event on record."""
        event = Event(
            campaign_id=self.campaign_id,
            at_utc=utc_now(),
            kind=kind,
            message=message,
            block_index=block_index,
            data=data or {},
        )
        self.store.add_event(event)


def limits_now(first: Limits, events: Sequence[Event]) -> Limits:
    """Return the limits that hold after these events."""
    kept = [event.data for event in events if event.kind == _RAISED]
    return from_plain(Limits, kept[-1]) if kept else first


def seconds_before(events: Sequence[Event], blocks: Sequence[Block]) -> float:
    """Return the device time of the sessions so far, on the device's own clock.

    Args:
        events: Of the campaign, in order.
        blocks: Of the campaign, in order of running.
    """
    begins = [event.data for event in events if event.kind in _BEGINNINGS]
    ends = [*(data["blocks"] for data in begins[1:]), len(blocks)]
    spent_ns = 0
    for data, end in zip(begins, ends, strict=True):
        times = [block.after.at_ns - data["at_ns"] for block in blocks[data["blocks"] : end]]
        spent_ns += max([0, *times])  # a block that was killed early has no time of its own
    return spent_ns / 1e9


def utc_now() -> str:
    """Return the time as records hold it."""
    return datetime.datetime.now(datetime.UTC).isoformat()
