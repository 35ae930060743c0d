"""Follows a campaign: after every round or heat, the stopping rule and the time spent decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import stats

from android_bench.statistics.comparison import Comparison, Unit, compare, compare_control
from android_bench.statistics.design import Design
from android_bench.statistics.stopping import choose_rule, split_confidence
from pfd_models.errors import InputError

__all__ = ["Decision", "Monitor", "Reason", "precision_to_resolve", "start_monitor"]


class Reason(Enum):
    """Why a campaign goes on or ends."""

    GOES_ON = "goes on"
    PRECISION = "precision reached"
    BUDGET = "budget spent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do after a round or heat.

    Attributes:
        reason: Why to go on or end.
        comparisons: By the campaign's rule; empty while there is too little. Final when `stop`;
            before that for showing progress, and for nothing else.
        control: The baseline against itself; None while there is too little.
        seconds_left: Estimate of the device time until the campaign ends by itself.
    """

    reason: Reason
    comparisons: tuple[Comparison, ...]
    control: Comparison | None
    seconds_left: float

    @property
    def stop(self) -> bool:
        """Whether the campaign ends here."""
        return self.reason is not Reason.GOES_ON


class Monitor:
    """Follows one campaign, round by round or heat by heat.

    A campaign of one variant has nothing to compare: it stops on the precision of its control.
    """

    def __init__(self, design: Design, rounds: Iterable[Unit] = ()) -> None:
        """Begin, or go on after an interruption with the rounds or heats so far."""
        self._design = design
        self._rule = choose_rule(design)
        self._rounds = list(rounds)

    @property
    def rounds(self) -> tuple[Unit, ...]:
        """Every round, or heat, so far."""
        return tuple(self._rounds)

    def update(self, new: Unit, elapsed_seconds: float) -> Decision:
        """Take in a complete round, or a good heat, and decide.

        Args:
            new: What has just been completed.
            elapsed_seconds: Device time of the campaign so far, interruptions left out.

        Returns:
            Whether to stop, why, and the state of the comparisons.

        Raises:
            InputError: if it is older than the last one.
        """
        if self._rounds and new.number <= self._rounds[-1].number:
            kind = type(new).__name__.lower()
            raise InputError(
                f"{kind} {new.number} comes after {kind} {self._rounds[-1].number}: give every"
                f" {kind} once, in order"
            )
        self._rounds.append(new)
        comparisons = compare(self._design, self._rounds, self._rule)
        control = compare_control(self._design, self._rounds, self._rule)
        judged = comparisons if self._design.candidates else (control,) if control else ()
        left = self._design.budget_seconds - elapsed_seconds
        if judged and self._is_precise(judged):
            reason, left = Reason.PRECISION, 0.0
        elif left <= 0.0:
            reason, left = Reason.BUDGET, 0.0
        else:
            reason = Reason.GOES_ON
            left = min(left, self._seconds_to_precision(judged, elapsed_seconds))
        return Decision(reason=reason, comparisons=comparisons, control=control, seconds_left=left)

    def _is_precise(self, judged: tuple[Comparison, ...]) -> bool:
        if not self._rule.may_stop(judged[0].n_rounds, self._design):
            return False
        return all(one.half_width <= self._design.precision for one in judged)

    def _seconds_to_precision(
        self, judged: tuple[Comparison, ...], elapsed_seconds: float
    ) -> float:
        """Widths shrink with the square root of the rounds."""
        if not judged:
            return float("inf")
        widest = max(one.half_width for one in judged)
        needed = judged[0].n_rounds * (widest / self._design.precision) ** 2
        first = self._rule.first_look(self._design)
        needed = max(needed, first, judged[0].n_rounds + 1.0)
        return elapsed_seconds * (needed / judged[0].n_rounds - 1.0)


def start_monitor(
    design: Design, units: Sequence[Unit], elapsed_seconds: float
) -> tuple[Monitor, Decision]:
    """Follow a campaign from where it stands with the rounds, or good heats, that it has.

    Args:
        design: What is measured.
        units: Complete rounds or good heats, in order; none at its beginning.
        elapsed_seconds: Device time so far.
    """
    if units:
        monitor = Monitor(design, units[:-1])
        return monitor, monitor.update(units[-1], elapsed_seconds)
    left = design.budget_seconds - elapsed_seconds
    return Monitor(design), Decision(
        reason=Reason.GOES_ON, comparisons=(), control=None, seconds_left=left
    )


def precision_to_resolve(
    effect: float, *, power: float = 0.8, confidence: float = 0.95, comparisons: int = 1
) -> float:
    """The precision at which a true effect leads to a verdict with a given probability.

    An interval as wide as the effect leaves out 1 only every second time: it must be narrower.

    Args:
        effect: True difference as a fraction: 0.01 for 1 %.
        power: Probability of a verdict.
        confidence: Of the campaign.
        comparisons: Variants besides the baseline.

    Returns:
        Half-width as a fraction, for `Design.precision`; 0.7 of the effect by default.

    Raises:
        InputError: if the effect is not above 0 or the power not between 0.5 and 1.
    """
    if not 0.0 < effect < 1.0:
        raise InputError(f"effect is {effect}: it must be between 0 and 1")
    if not 0.5 <= power < 1.0:
        raise InputError(f"power is {power}: it must be 0.5 to below 1")
    wide = float(stats.norm.ppf(0.5 + 0.5 * split_confidence(confidence, comparisons)))
    return float(np.expm1(np.log1p(effect) / (1.0 + float(stats.norm.ppf(power)) / wide)))
