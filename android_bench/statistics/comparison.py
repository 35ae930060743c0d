"""From blocks to statements: what each variant takes, and which is faster. Pure functions.

The unit of analysis is the block median; a comparison is made within rounds, so that what the
device does slowly cancels. Estimate and interval are of the log-ratio's centre, by the rule
that decides when to stop (`android_bench.statistics.stopping`). Raw samples stay with the blocks;
everything here is computed from them when asked for.
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
from android_bench.statistics.stopping import MIXTURE_T_RULE, TRIMMED_T_RULE, Rule, split_confidence
from pfd_models.errors import InputError, unknown

__all__ = [
    "Comparison",
    "Round",
    "Verdict",
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
        n_rounds: Rounds the estimate rests on.
        noise_floor: What half-width (as a fraction) the A/A control would have with as many
            rounds: differences below it cannot be told on this device in this time. None while
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


def log_ratios(design: Design, rounds: Sequence[Round], label: str) -> Floats:
    """(n,) log of a variant's block median over the baseline's, round by round.

    Raises:
        InputError: if the label is not one that is compared with the baseline.
    """
    if label not in design.candidates:
        raise InputError(unknown("label", label, design.candidates, owner="this campaign"))
    medians = [(r.medians_ns[label], _baseline_ns(design, r)) for r in rounds]
    pairs = np.array(medians, dtype=np.float64).reshape(-1, 2)
    return np.asarray(np.log(pairs[:, 0] / pairs[:, 1]), dtype=np.float64)


def control_log_ratios(design: Design, rounds: Sequence[Round]) -> Floats:
    """(m,) log of the control's block median over the baseline's, each used once, in order."""
    named = (design.control_label, design.baseline)
    control, baseline = ([r.medians_ns[n] for r in rounds if n in r.medians_ns] for n in named)
    m = min(len(control), len(baseline))
    ratios = np.array(control[:m], dtype=np.float64) / np.array(baseline[:m], dtype=np.float64)
    return np.asarray(np.log(ratios), dtype=np.float64)


def compare(
    design: Design, rounds: Sequence[Round], rule: Rule = TRIMMED_T_RULE
) -> tuple[Comparison, ...]:
    """Compare every variant with the baseline.

    Args:
        design: Its variants and its confidence, which holds for all comparisons together
            (Bonferroni): at most 5 of 100 campaigns contain a wrong claim, however many variants.
        rounds: Complete rounds, in order.
        rule: What makes the interval: `TRIMMED_T_RULE` where the campaign's own rule or its
            budget ended it, `MIXTURE_T_RULE` where somebody stopped it by hand and may have
            looked. Fewer rounds than `Design.min_rounds` get `MIXTURE_T_RULE`'s too: it alone
            holds at every length.

    Returns:
        One comparison per variant after the first; none while there are too few rounds for
        bounded intervals.
    """
    if len(rounds) < MIN_ROUNDS:
        return ()
    if len(rounds) < design.min_rounds:  # the campaign's rule makes no claim before its first look
        rule = MIXTURE_T_RULE
    each = split_confidence(design.confidence, len(design.candidates))
    floor = _noise_floor(design, rounds, rule)
    made = tuple(
        _comparison(design, label, log_ratios(design, rounds, label), each, rule, floor)
        for label in design.candidates
    )
    return made if all(one.high < math.inf for one in made) else ()


def compare_control(
    design: Design, rounds: Sequence[Round], rule: Rule = TRIMMED_T_RULE
) -> Comparison | None:
    """Compare the baseline with itself; an interval that leaves out 1 says: do not believe this.

    Returns:
        The comparison, or None while there are too few pairs for a bounded interval.
    """
    series = control_log_ratios(design, rounds)
    if len(series) < MIN_ROUNDS:
        return None
    label = design.control_label
    control = _comparison(design, label, series, design.confidence, rule, None)
    return control if control.high < math.inf else None


def _noise_floor(design: Design, rounds: Sequence[Round], rule: Rule) -> float | None:
    """The control has half as many pairs as a comparison: scale its width to equal numbers."""
    series = control_log_ratios(design, rounds)
    if len(series) < MIN_ROUNDS:
        return None
    each = split_confidence(design.confidence, len(design.candidates))
    _, half_width = rule.interval(series[None, :], each)
    floor = float(np.expm1(half_width[0] * np.sqrt(len(series) / len(rounds))))
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


def _baseline_ns(design: Design, one: Round) -> float:
    if design.baseline in one.medians_ns:
        return one.medians_ns[design.baseline]
    return one.medians_ns[design.control_label]
