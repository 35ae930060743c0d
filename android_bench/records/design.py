"""What is compared, how finely, and for how long at most. Plain data.

The order in which blocks run follows from it: `statistics/design.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pfd_models.errors import InputError

__all__ = ["Design", "Pairing"]


class Pairing(Enum):
    """How near to each other in time two variants are measured."""

    TURNS = "turns"  # processes alive at once take turns of milliseconds
    BLOCKS = "blocks"  # one process after the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is compared, how finely, and for how long at most.

    Attributes:
        labels: The variants; the first is the baseline that the others are compared with.
        precision: Half-width, as a fraction of the ratio, at which measuring stops.
        budget_seconds: Device time at which measuring stops whatever has been reached.
        confidence: Probability that all intervals of the campaign hold the truth together.
        seed: Determines the order; recorded with the campaign.
        min_rounds: Rounds of blocks before the first look; fewer than 12 do not keep the coverage.
        max_attempts: Times a disturbed block, or heat, is measured before it is given up.
        pairing: Blocks in rounds, or turns in heats.
    """

    labels: tuple[str, ...]
    precision: float = 0.01
    budget_seconds: float = 300.0
    confidence: float = 0.95
    seed: int = 0
    min_rounds: int = 12
    max_attempts: int = 3
    pairing: Pairing = Pairing.BLOCKS

    def __post_init__(self) -> None:
        """Refuse what no campaign can be run with.

        Raises:
            InputError: naming the field, its value and what it may be.
        """
        if not self.labels:
            raise InputError("a campaign without variants: name at least one")
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise InputError(f"variant {twice[0]!r} is named twice: give each variant once")
        if "" in self.labels:
            raise InputError("a variant's label is empty: name it")
        if self.control_label in self.labels:
            raise InputError(f"label {self.control_label!r} is the control's: rename that variant")
        _require("precision", self.precision, 0.0 < self.precision < 1.0, "between 0 and 1")
        _require("confidence", self.confidence, 0.5 <= self.confidence < 1.0, "0.5 to below 1")
        _require(
            "budget_seconds",
            self.budget_seconds,
            0.0 < self.budget_seconds < float("inf"),
            "more than 0 seconds",
        )
        _require("seed", self.seed, self.seed >= 0, "0 or more")
        _require("min_rounds", self.min_rounds, self.min_rounds >= 12, "at least 12")
        _require("max_attempts", self.max_attempts, self.max_attempts >= 1, "at least 1")

    @property
    def baseline(self) -> str:
        """The variant the others are compared with."""
        return self.labels[0]

    @property
    def candidates(self) -> tuple[str, ...]:
        """The variants that are compared with the baseline."""
        return self.labels[1:]

    @property
    def control_label(self) -> str:
        """The baseline's second label, under which half of its blocks run."""
        return f"{self.labels[0]} (A/A)"

    def variant_of(self, label: str) -> str:
        """The variant that a block's label, perhaps the control's, stands for."""
        return self.baseline if label == self.control_label else label


def _require(field: str, value: float, is_right: bool, allowed: str) -> None:
    if not is_right:
        raise InputError(f"{field} is {value}: it must be {allowed}")
