"""What a block may suffer, and when the next one may start. Plain data, kept with a campaign."""

from __future__ import annotations

from dataclasses import dataclass

from android_bench.records.field_checks import at_least, required

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a block may suffer before it is flagged, and when the next one may start.

    Attributes:
        temperature_rise_mc: Rise of the hottest zone within a block.
        start_temperature_mc: Hottest zone at which a block may start; None for any. On a phone a
            campaign puts the first idle reading and a margin here where the user says nothing.
        start_thermal_status: Highest thermal status of Android at which a block may start.
        frequency_drop: Share by which the frequency of a CPU that ran may fall.
        other_busy: Share of CPU time that other processes may use.
        steal: Share of CPU time that a hypervisor may take.
        cooling_patience_s: How long to wait for a cool device before giving up.
        blind_pause_s: Pause before each block where no temperature can be read at all.
    """

    temperature_rise_mc: int = 8_000
    start_temperature_mc: int | None = None
    start_thermal_status: int = 0
    frequency_drop: float = 0.10
    other_busy: float = 0.10
    steal: float = 0.02
    cooling_patience_s: float = 300.0
    blind_pause_s: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        at_least(self, 0, "temperature_rise_mc", "start_thermal_status")
        for name in ("frequency_drop", "other_busy", "steal"):
            required(self, 0 <= getattr(self, name) <= 1, name, "give a share from 0 to 1")
        for name in ("cooling_patience_s", "blind_pause_s"):
            required(self, 0 <= getattr(self, name) <= 1e6, name, "give seconds from 0 to 1e6")
