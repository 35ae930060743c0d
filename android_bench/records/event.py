"""Something that happened in a campaign and is worth a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from android_bench.records.field_checks import at_least, ordered, texts, utc

__all__ = ["Event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a campaign and is worth a line.

    Attributes:
        campaign_id: The campaign it belongs to.
        at_utc: ISO 8601.
        kind: One word for programs, as ``started``, ``repeated``, ``stopped``, ``failed``.
        message: A line for the reader.
        block_index: The block it is about; None when it is about none.
        data: Further facts as plain data.
    """

    campaign_id: str
    at_utc: str
    kind: str
    message: str
    block_index: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "campaign_id", "kind", "message")
        utc(self, "at_utc")
        at_least(self, 0, "block_index")
        object.__setattr__(self, "data", ordered(self.data))
