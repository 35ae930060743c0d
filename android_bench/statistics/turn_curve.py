"""The within-burst curve of a campaign: what the first inferences of a turn cost more. Pure.

While another process takes its turn, it displaces from the caches what this one had there. The
first inferences of the next turn bring it back; they are discarded by every comparison and stand
here instead. An app that runs one network in a loop does not pay this; one that runs several
networks in turn does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from android_bench.records import HeatRecord
from android_bench.statistics.design import Design
from android_bench.statistics.turns import find_displaced

__all__ = ["TurnCurve", "find_curve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCurve:
    """How long an inference takes, by its place in a turn that follows another process's.

    Attributes:
        label: The variant.
        discards: Places at the start that no comparison counts.
        costs: (places,) median time over the settled time of the same turn, less 1; settled is
            the median of the places that count.
        n_turns: Turns that the medians are of.
    """

    label: str
    discards: int
    costs: tuple[float, ...]
    n_turns: int

    @property
    def first_cost(self) -> float:
        """What the first inference after another process's turn costs more, as a fraction."""
        return self.costs[0]


def find_curve(design: Design, label: str, heats: Iterable[HeatRecord]) -> TurnCurve | None:
    """Find the curve of one variant; that of the baseline is its twin's too.

    Args:
        design: Says which processes are the variant's.
        label: The variant.
        heats: The good ones.

    Returns:
        The curve; None where a turn is one inference, or none follows another process's.
    """
    discards, parts = 0, []
    for heat in heats:
        for number, child in enumerate(heat.children):
            if design.variant_of(child.label) == label:
                discards = child.discards
                parts.append(find_displaced(heat.turns, number, child.burst))
    times = np.concatenate(parts) if parts else np.empty((0, 0))
    if len(times) == 0 or times.shape[1] < 2:
        return None
    settled = np.median(times[:, discards:], axis=1, keepdims=True)
    costs = np.median(times / settled, axis=0) - 1.0
    return TurnCurve(
        label=label, discards=discards, costs=tuple(costs.tolist()), n_turns=len(times)
    )
