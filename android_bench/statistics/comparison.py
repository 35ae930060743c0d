"""From blocks or turns to statements: which variant is faster. Pure functions.

The unit of analysis is a round of block medians, or a heat of turns; a comparison is made within
it, so that what the device does slowly cancels. Estimate and interval are of the log-ratio's
centre, by the rule that decides when to stop (`android_bench.statistics.stopping`). Raw samples
stay with blocks and heats; everything here is computed from them when asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from android_bench.records import Block
from android_bench.statistics.design import Design, is_disturbed
from android_bench.statistics.intervals import MIN_ROUNDS
from android_bench.statistics.stopping import Rule, choose_rule, split_confidence
from android_bench.statistics.turns import Heat
from pfd_models.errors import InputError, unknown

__all__ = [
    "Comparison",
    "Round",
    "Unit",
    "Verdict",
    "collect_heats",
    "collect_rounds",
    "compare",
    "compare_control",
    "control_log_ratios",
    "log_ratios",
]

Floats = npt.NDArray[np.float64]


class Verdict(Enum):
    """What an interval says about a variant against the baseline."""

    FASTER = "faster"
    SLOWER = "slower"
    NOT_RESOLVED = "not resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One complete round: the median of one good block per variant.

    Attributes:
        number: As planned; rounds that were given up leave gaps.
        medians_ns: Label, perhaps the control's, to block median.
    """

    number: int
    medians_ns: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse medians that have no logarithm.

        Raises:
            InputError: naming round, label and value.
        """
        for label, median_ns in self.medians_ns.items():
            if not 0.0 < median_ns < float("inf"):
                raise InputError(
                    f"round {self.number}: the median of {label!r} is {median_ns} ns: it must be"
                    " a finite number above 0; the block's samples are damaged"
                )


Unit = Round | Heat  # what the intervals rest on


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A variant against the baseline: latency ratio with its interval.

    Attributes:
        label: The variant, or the control's label.
        baseline: What it is compared with.
        ratio: Estimated latency of the variant over that of the baseline; below 1 is faster.
        low: Lower end of the ratio's interval.
        high: Upper end.
        confidence: That all intervals of the campaign hold their truths together.
        n_rounds: Rounds, or heats, that the estimate rests on.
        noise_floor: What half-width (as a fraction) the A/A control would have with as many
            of them: differences below it cannot be told on this device in this time. None while
            the control is too short, and for the control itself.
        rule: Name of the rule that made the interval.
    """

    label: str
    baseline: str
    ratio: float
    low: float
    high: float
    confidence: float
    n_rounds: int
    noise_floor: float | None
    rule: str

    @property
    def half_width(self) -> float:
        """Half the interval, as a fraction of the ratio: 0.01 is ±1 %."""
        return self.high / self.ratio - 1.0

    @property
    def verdict(self) -> Verdict:
        """What the interval says; a claim only when it leaves out 1."""
        if self.high < 1.0:
            return Verdict.FASTER
        return Verdict.SLOWER if self.low > 1.0 else Verdict.NOT_RESOLVED

    def covers(self, true_ratio: float) -> bool:
        """Say whether the interval holds a ratio that is known to be true."""
        return self.low <= true_ratio <= self.high


def collect_rounds(design: Design, blocks: Iterable[Block]) -> list[Round]:
    """Gather good blocks into complete rounds, in order.

    Disturbed blocks are left out; so are rounds that lack a variant, because they are still
    running or were given up.

    Args:
        design: Which variants a round must have.
        blocks: Blocks of that campaign in any order, repeats and disturbed ones included.

    Raises:
        InputError: if a label is not the campaign's or two good blocks claim the same place.
    """
    known = (*design.labels, design.control_label)
    places: dict[tuple[int, str], tuple[str, float]] = {}
    for block in blocks:
        if block.label not in known:
            raise InputError(unknown("label", block.label, known, owner="this campaign"))
        if is_disturbed(block):
            continue
        place = (block.round, design.variant_of(block.label))
        if place in places:
            raise InputError(
                f"two good blocks of {block.label!r} in round {block.round}: give the blocks of"
                " one campaign, each once"
            )
        places[place] = (block.label, block.median_ns)
    rounds = []
    for number in sorted({number for number, _ in places}):
        found = [places.get((number, label)) for label in design.labels]
        whole = [entry for entry in found if entry is not None]
        if len(whole) == len(design.labels):
            rounds.append(Round(number=number, medians_ns=dict(whole)))
    return rounds


def collect_heats(design: Design, heats: Iterable[Heat]) -> list[Heat]:
    """Gather good heats that compare every variant, in order.

    Args:
        design: Which variants a heat must have.
        heats: Of that campaign in any order, repeats and disturbed ones included.

    Raises:
        InputError: if two good heats have the same number.
    """
    good: dict[int, Heat] = {}
    for heat in heats:
        if is_disturbed(heat) or not set(design.candidates) <= set(heat.log_ratios):
            continue
        if heat.number in good:
            raise InputError(
                f"two good heats have number {heat.number}: give the heats of one campaign, each"
                " once"
            )
        good[heat.number] = heat
    return [good[number] for number in sorted(good)]


def log_ratios(design: Design, units: Sequence[Unit], label: str) -> Floats:
    """(n,) log of a variant's time over the baseline's, round by round or heat by heat.

    Raises:
        InputError: if the label is not one that is compared with the baseline.
    """
    if label not in design.candidates:
        raise InputError(unknown("label", label, design.candidates, owner="this campaign"))
    return np.array([_log_ratio(design, unit, label) for unit in units], dtype=np.float64)


def control_log_ratios(design: Design, units: Sequence[Unit]) -> Floats:
    """(m,) log of the control's time over the baseline's, each used once, in order.

    Rounds hold either of the two: those of the one are divided by those of the other. A heat that
    has a twin holds both.
    """
    label, heats = design.control_label, [unit for unit in units if isinstance(unit, Heat)]
    within = [heat.log_ratios[label] for heat in heats if label in heat.log_ratios]
    rounds = [unit.medians_ns for unit in units if isinstance(unit, Round)]
    control, baseline = ([r[n] for r in rounds if n in r] for n in (label, design.baseline))
    m = min(len(control), len(baseline))
    ratios = np.array(control[:m], dtype=np.float64) / np.array(baseline[:m], dtype=np.float64)
    return np.concatenate([np.array(within, dtype=np.float64), np.log(ratios)])


def compare(
    design: Design, units: Sequence[Unit], rule: Rule | None = None
) -> tuple[Comparison, ...]:
    """Compare every variant with the baseline.

    Args:
        design: Its variants and its confidence, which holds for all comparisons together
            (Bonferroni): at most 5 of 100 campaigns contain a wrong claim, however many variants.
        units: Complete rounds or good heats, in order.
        rule: What makes the interval, as `choose_rule` says; None is the design's own. Before
            its first look the rule claims nothing, so that fewer units get the interval that
            holds at every length.

    Returns:
        One comparison per variant after the first; none while there are too few rounds for
        bounded intervals.
    """
    if len(units) < MIN_ROUNDS:
        return ()
    rule = choose_rule(design) if rule is None else rule
    if len(units) < rule.first_look(design):
        rule = choose_rule(design, by_hand=True)
    each = split_confidence(design.confidence, len(design.candidates))
    floor = _noise_floor(design, units, rule)
    made = tuple(
        _comparison(design, label, log_ratios(design, units, label), each, rule, floor)
        for label in design.candidates
    )
    return made if all(one.high < math.inf for one in made) else ()


def compare_control(
    design: Design, units: Sequence[Unit], rule: Rule | None = None
) -> Comparison | None:
    """Compare the baseline with itself; an interval that leaves out 1 says: do not believe this.

    Returns:
        The comparison, or None while there are too few pairs for a bounded interval.
    """
    rule = choose_rule(design) if rule is None else rule
    series = control_log_ratios(design, units)
    if len(series) < MIN_ROUNDS:
        return None
    label = design.control_label
    control = _comparison(design, label, series, design.confidence, rule, None)
    return control if control.high < math.inf else None


def _noise_floor(design: Design, units: Sequence[Unit], rule: Rule) -> float | None:
    """The control has half as many pairs as a comparison: scale its width to equal numbers."""
    series = control_log_ratios(design, units)
    if len(series) < MIN_ROUNDS:
        return None
    each = split_confidence(design.confidence, len(design.candidates))
    _, half_width = rule.interval(series[None, :], each)
    floor = float(np.expm1(half_width[0] * np.sqrt(len(series) / len(units))))
    return floor if floor < math.inf else None


def _comparison(
    design: Design, label: str, series: Floats, each: float, rule: Rule, floor: float | None
) -> Comparison:
    centres, half_widths = rule.interval(series[None, :], each)
    centre, half_width = float(centres[0]), float(half_widths[0])
    return Comparison(
        label=label,
        baseline=design.baseline,
        ratio=float(np.exp(centre)),
        low=float(np.exp(centre - half_width)),
        high=float(np.exp(centre + half_width)),
        confidence=design.confidence,
        n_rounds=len(series),
        noise_floor=floor,
        rule=rule.name,
    )


def _log_ratio(design: Design, unit: Unit, label: str) -> float:
    if isinstance(unit, Heat):
        return unit.log_ratios[label]
    medians_ns = unit.medians_ns
    baseline = design.baseline if design.baseline in medians_ns else design.control_label
    return float(np.log(medians_ns[label] / medians_ns[baseline]))
