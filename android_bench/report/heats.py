"""What figures and tables ask of the heats of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from android_bench.campaign.result import CampaignResult
from android_bench.records import HeatRecord, Pairing
from android_bench.report.conditions import ran_khz
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.turn_curve import TurnCurve, find_curve
from android_bench.statistics.turns import Heat, find_kept

__all__ = ["HeatRow", "counted_samples", "find_curves", "good_heats", "heat_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRow:
    """A heat as a row of a table.

    Attributes:
        heat: As it is stored.
        judged: What it says.
        ratios: Label to its ratio over the baseline, where there is one.
        khz_before: Frequency of the cores that ran, before the first turn; None when unread.
        khz_after: After the last.
    """

    heat: HeatRecord
    judged: Heat
    ratios: Mapping[str, float]
    khz_before: float | None
    khz_after: float | None


def heat_rows(result: CampaignResult) -> list[HeatRow]:
    """Return the heats of a campaign whose variants take turns, in order of running."""
    if result.campaign.rules.pairing is not Pairing.TURNS:
        return []
    rows = []
    for heat, judged in zip(result.heats, result.judged, strict=True):
        cpus = np.unique(heat.turns.cpus)
        rows.append(
            HeatRow(
                heat=heat,
                judged=judged,
                ratios={label: float(np.exp(log)) for label, log in judged.log_ratios.items()},
                khz_before=ran_khz(cpus, heat.before),
                khz_after=ran_khz(cpus, heat.after),
            )
        )
    return rows


def good_heats(result: CampaignResult) -> list[HeatRecord]:
    """Return the heats that no flag forbids to use."""
    return [row.heat for row in heat_rows(result) if not is_disturbed(row.judged)]


def find_curves(result: CampaignResult) -> dict[str, TurnCurve]:
    """Return label to within-burst curve, of the variants whose turns show one."""
    design, heats = result.campaign.design, good_heats(result)
    found = {label: find_curve(design, label, heats) for label in design.labels}
    return {label: curve for label, curve in found.items() if curve is not None}


def counted_samples(heat: HeatRecord) -> dict[str, npt.NDArray[np.int64]]:
    """Return label to ns of every inference that counts, discards left out."""
    turns = heat.turns
    begin, _ = find_kept(turns, [child.discards for child in heat.children])
    turn_of = np.repeat(np.arange(len(turns.turn_child)), np.diff(turns.turn_first))
    counts = np.arange(len(turns.samples_ns)) >= begin[turn_of]
    whose = turns.turn_child[turn_of]
    return {
        label: turns.samples_ns[counts & (whose == child)]
        for child, label in enumerate(turns.children)
    }
