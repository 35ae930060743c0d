"""How long turns and heats are, chosen from a pilot by a rule that cannot see the ratio.

While one variant takes its turn, its weights and activations displace those of the others from
the caches; the first inferences of the next turn bring them back. A pilot heat with longer turns
shows, for each variant by itself, how long that lasts: the **within-burst curve**, the median
time of each place in a turn over the settled time of the same turn. Nothing here compares one
variant with another, so the choice cannot favour an outcome.

- *Discards*: places at which the curve, made to fall (isotonic regression: the cost of
  displaced caches can only shrink), is more than half a percent above settled.
- *Kept*: at least 4 ms, one period of a timer tick of 250 Hz, and twice the discards; at least one.
  Short turns pay: the shorter, the less the weather changes from one to the next. All variants
  keep as much time as the one that needs most: the times of long turns are less skewed by bursts
  of slowness than those of short ones, and trimming would take that for a difference.
- *Rows of a heat*: 0.7 s of turns, or as long as starting the processes takes where that is
  longer, up to 3 s; at least six rows, however slow the variants are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize

from android_bench.records import TurnSamples
from android_bench.statistics.turns import find_displaced
from pfd_models.errors import InputError, unknown

__all__ = [
    "PILOT_INFERENCES",
    "PILOT_TURNS",
    "Burst",
    "Pace",
    "PilotPlan",
    "choose_burst",
    "choose_kept",
    "choose_masks",
    "choose_pace",
    "describe_pace",
    "make_pace",
    "plan_pilot",
]

PILOT_INFERENCES = 16  # in each turn of a pilot; a curve needs places at which it has settled
PILOT_TURN_SECONDS = 0.05  # a slower variant sweeps the caches itself, in its first inference
PILOT_TURNS = 60  # of each variant: with fewer, noise makes the rule discard too much
PILOT_SECONDS = 4.0
MIN_PILOT_TURNS = 3
SETTLED = 0.005  # of a variant's own time: what the curve may be above its settled part
LEAST_TURN_SECONDS = 0.004
KEPT_PER_DISCARD = 2
MIN_ROWS = 6
HEAT_SECONDS = (0.7, 3.0)  # what the turns of a heat take, least and most: docs/statistics.md

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What one variant does in each of its turns.

    Attributes:
        label: The variant.
        discards: Inferences at the start of a turn that do not count.
        kept: Inferences that do.
        first_ns: The first inference of a turn that follows another variant's: median.
        settled_ns: An inference of the later half of a turn: median.
    """

    label: str
    discards: int
    kept: int
    first_ns: float
    settled_ns: float

    def __post_init__(self) -> None:
        """Refuse a turn that measures nothing.

        Raises:
            InputError: naming the variant, the field and its value.
        """
        rules = {
            "discards": (self.discards >= 0, "at least 0"),
            "kept": (self.kept >= 1, "at least 1"),
            "first_ns": (0.0 < self.first_ns < math.inf, "more than 0"),
            "settled_ns": (0.0 < self.settled_ns < math.inf, "more than 0"),
        }
        for name, (is_right, allowed) in rules.items():
            if not is_right:
                value = getattr(self, name)
                raise InputError(f"{name} of {self.label!r} is {value}: it must be {allowed}")

    @property
    def inferences(self) -> int:
        """Inferences of a turn."""
        return self.discards + self.kept

    @property
    def first_cost(self) -> float:
        """What the first inference after another variant's turn costs more, as a fraction."""
        return self.first_ns / self.settled_ns - 1.0

    @property
    def seconds(self) -> float:
        """What a turn takes."""
        return 1e-9 * self.inferences * self.settled_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotPlan:
    """A heat that shows for how many inferences a variant notices that another ran before it.

    Attributes:
        inferences: In each turn.
        turns: Of each variant.
    """

    inferences: int
    turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a campaign's heats are made; recorded with it.

    Attributes:
        bursts: One for each variant, the baseline first.
        turn_seconds: What the turns of a heat shall take together, with a twin or without.
        start_seconds: What it took until the first turn.
        cpu_masks: What a heat's processes are all pinned to, one of these for each heat; empty
            leaves them where the campaign is.
    """

    bursts: tuple[Burst, ...]
    turn_seconds: float
    start_seconds: float = 0.0
    cpu_masks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse heats that take no time.

        Raises:
            InputError: naming the seconds.
        """
        if not 0.0 < self.turn_seconds < math.inf:
            raise InputError(f"turn_seconds is {self.turn_seconds}: it must be more than 0")

    def count_rows(self, bursts: Sequence[Burst]) -> int:
        """Turns of each process in a heat; even, so that each row has its mirror image.

        Args:
            bursts: What each of the processes does in its turn.
        """
        rows = math.ceil(self.turn_seconds / sum(burst.seconds for burst in bursts))
        return max(rows + rows % 2, MIN_ROWS)

    def burst(self, label: str) -> Burst:
        """Find the turns of a variant.

        Raises:
            InputError: if there is no such variant.
        """
        for burst in self.bursts:
            if burst.label == label:
                return burst
        raise InputError(unknown("variant", label, [burst.label for burst in self.bursts]))


def choose_masks(cpu_mask: int, threads: int) -> tuple[int, ...]:
    """Choose where heats run: on as many of a campaign's CPUs as there are threads, no more.

    Two processes with more CPUs to choose from settle on different ones, and a neighbour of one
    CPU then slows one of them for a whole heat.

    Args:
        cpu_mask: Bit i set: the campaign may use CPU i; 0 when it is not pinned.
        threads: Of each process.

    Returns:
        Masks, each CPU in as many of them; none where there is nothing to choose.
    """
    cpus = [cpu for cpu in range(cpu_mask.bit_length()) if cpu_mask >> cpu & 1]
    if len(cpus) <= threads:
        return ()
    chosen = ([cpus[(first + i) % len(cpus)] for i in range(threads)] for first in range(len(cpus)))
    return tuple(sum(1 << cpu for cpu in mask) for mask in chosen)


def plan_pilot(variants: int, slowest_seconds: float) -> PilotPlan:
    """Plan a pilot that shows the curves and takes some seconds, where that is possible.

    Args:
        variants: How many take part.
        slowest_seconds: One inference of the slowest of them.
    """
    inferences = max(min(round(PILOT_TURN_SECONDS / slowest_seconds), PILOT_INFERENCES), 2)
    turns = int(PILOT_SECONDS / (variants * inferences * slowest_seconds))
    return PilotPlan(inferences=inferences, turns=min(max(turns, MIN_PILOT_TURNS), PILOT_TURNS))


def choose_pace(pilot: TurnSamples, *, start_seconds: float = 0.0) -> Pace:
    """Choose turns and heats from a pilot heat.

    Args:
        pilot: As `plan_pilot` says; its processes are the variants, each once, the baseline first,
            and take turns in that order again and again.
        start_seconds: What it took to start the processes.

    Raises:
        InputError: if a variant has no turn that follows another's.
    """
    alone = [
        choose_burst(label, _displaced_turns(pilot, child))
        for child, label in enumerate(pilot.children)
    ]
    return make_pace(alone, start_seconds)


def make_pace(alone: Sequence[Burst], start_seconds: float) -> Pace:
    """Bring the turns of several variants to one length.

    Args:
        alone: What each variant's own turn must hold.
        start_seconds: What it took to start the processes.
    """
    kept_ns = max(burst.kept * burst.settled_ns for burst in alone)
    bursts = tuple(
        replace(burst, kept=max(round(kept_ns / burst.settled_ns), 1)) for burst in alone
    )
    # Long heats spend less of their time on starting, short ones give more numbers.
    least, most = HEAT_SECONDS
    turn_seconds = min(max(start_seconds, least), most)
    return Pace(bursts=bursts, turn_seconds=turn_seconds, start_seconds=start_seconds)


def choose_burst(label: str, turns_ns: npt.ArrayLike) -> Burst:
    """Choose what the turns of one variant must hold, from its own times alone.

    Args:
        label: The variant.
        turns_ns: (turns, places), ns of each inference of turns that follow another variant's.

    Raises:
        InputError: if there are none.
    """
    turns = np.asarray(turns_ns, dtype=np.float64)
    if turns.ndim != 2 or turns.size == 0:
        raise InputError(f"the pilot has no whole turn of {label!r}: give it more time")
    half = turns.shape[1] // 2
    settled = np.median(turns[:, half:], axis=1, keepdims=True)
    curve = np.median(turns / settled, axis=0)
    falling = optimize.isotonic_regression(curve, increasing=False).x[:half]
    discards = int(np.count_nonzero(falling > 1.0 + SETTLED))
    settled_ns = float(np.median(settled))
    return Burst(
        label=label,
        discards=discards,
        kept=choose_kept(discards, 1e-9 * settled_ns),
        first_ns=float(curve[0]) * settled_ns,
        settled_ns=settled_ns,
    )


def choose_kept(discards: int, settled_seconds: float) -> int:
    """Inferences of a turn that count, for inferences that take so long."""
    return max(math.ceil(LEAST_TURN_SECONDS / settled_seconds), KEPT_PER_DISCARD * discards, 1)


def describe_pace(pace: Pace) -> str:
    """Say in one line how variants take turns, and that heats are long where they must be."""
    turns = "; ".join(
        f"{burst.label} {burst.discards} + {burst.kept} inferences, the first"
        f" {burst.first_cost:+.1%}"
        for burst in pace.bursts
    )
    rows = pace.count_rows(pace.bursts)
    seconds = rows * sum(burst.seconds for burst in pace.bursts)
    text = f"turns: {turns}; {rows} turns each in a heat of {seconds:.1f} s"
    slowest = max(pace.bursts, key=lambda burst: burst.settled_ns)
    if seconds <= 2.0 * pace.turn_seconds:
        return text
    return (
        f"{text}: heats are long because one inference of {slowest.label!r} takes"
        f" {1e-9 * slowest.settled_ns:.2g} s"
    )


def _displaced_turns(pilot: TurnSamples, child: int) -> Floats:
    """(turns, places) of a process, where another's turn went before; cut turns are left out."""
    mine = np.diff(pilot.turn_first)[pilot.turn_child == child]
    return find_displaced(pilot, child, int(mine.max(initial=0)))
