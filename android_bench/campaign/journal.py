"""A campaign's events: written as it goes, read to go on with it.

A *session* is the time from an event ``started`` or ``resumed`` to the next; what lies between
sessions was not measured and does not count as device time.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from android_bench.records import Event, Limits, Reading
from android_bench.store import Store
from pfd_models.plain_data import from_plain, to_plain

__all__ = ["Journal", "limits_now", "seconds_before", "utc_now"]

_BEGINNINGS = ("started", "resumed")
_LIMITS = ("start_chosen", "limits_raised")  # kinds of events whose data are limits


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beginning:
    """What the event at the beginning of a session holds.

    Attributes:
        blocks: How many blocks, or heats, there were.
        at_ns: CLOCK_MONOTONIC of the device.
        relative_linf: Label to the worst relative distance of its outputs.
    """

    blocks: int
    at_ns: int
    relative_linf: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Writes the events of one campaign."""

    store: Store
    campaign_id: str

    def begin(self, kind: str, message: str, reading: Reading, **facts: Any) -> None:
        """Begin a session: ``started`` or ``resumed``."""
        store, campaign_id = self.store, self.campaign_id
        done = len(store.blocks(campaign_id)) + len(store.heats(campaign_id))
        self.tell(kind, message, data={"blocks": done, "at_ns": reading.at_ns, **facts})

    def tell_limits(self, kind: str, message: str, limits: Limits) -> None:
        """Say that other limits hold from here on: ``start_chosen`` or ``limits_raised``."""
        self.tell(kind, message, data=to_plain(limits))

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
    kept = [event for event in events if event.kind in _LIMITS]
    if not kept:
        return first
    return from_plain(Limits, kept[-1].data, what=f"the event {kept[-1].kind!r}")


def seconds_before(events: Sequence[Event], ends_ns: Sequence[int]) -> float:
    """Return the device time of the sessions so far, on the device's own clock.

    Args:
        events: Of the campaign, in order.
        ends_ns: When each block, or heat, of the campaign ended, in order of running.
    """
    begins = [
        from_plain(_Beginning, event.data, what=f"the event {event.kind!r}")
        for event in events
        if event.kind in _BEGINNINGS
    ]
    ends = [*(each.blocks for each in begins[1:]), len(ends_ns)]
    spent_ns = 0
    for begin, end in zip(begins, ends, strict=True):
        times = [at_ns - begin.at_ns for at_ns in ends_ns[begin.blocks : end]]
        spent_ns += max([0, *times])  # a block that was killed early has no time of its own
    return spent_ns / 1e9


def utc_now() -> str:
    """Return the time as records hold it."""
    return datetime.datetime.now(datetime.UTC).isoformat()
