"""How often the reported interval holds the truth, and what it costs, in simulated campaigns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from android_bench.statistics.design import Design, Pairing
from android_bench.statistics.intervals import MIN_ROUNDS
from android_bench.statistics.stopping import Rule, choose_rule
from android_bench.statistics.study.conditions import Conditions
from android_bench.statistics.study.run_rule import run_rule
from android_bench.statistics.study.simulated_campaigns import SimulatedCampaigns, simulate
from android_bench.statistics.study.simulated_heats import simulate_heats

__all__ = ["Coverage", "Share", "Simulation", "judge"]

Simulation = Callable[[Design, float, Conditions, int, int], SimulatedCampaigns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of so many.

    Attributes:
        count: How many did.
        of: How many there were.
    """

    count: int
    of: int

    @property
    def fraction(self) -> float:
        """The share, 0 to 1."""
        return self.count / self.of

    def bounds(self, confidence: float = 0.95) -> tuple[float, float]:
        """Exact binomial interval (Clopper and Pearson, Biometrika 26, 1934) of the true share."""
        low, high = stats.binomtest(self.count, self.of).proportion_ci(confidence, method="exact")
        return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a rule did in many campaigns of one kind.

    Attributes:
        rule: Its name.
        conditions: Their name.
        true_ratio: What was put in.
        covered: Campaigns whose reported intervals all hold the truth.
        claimed: Campaigns that called a variant faster or slower.
        resolved: Campaigns that rightly called every variant faster or slower.
        claimed_wrongly: Campaigns that called one so against the truth; with ratio 1 any claim.
        peeked_wrongly: Campaigns of which some interval on the way left out the truth.
        control_missed: Campaigns whose own A/A control calls the baseline different from itself.
        reached: Campaigns that reached the precision within the budget.
        mean_seconds: Device time of a campaign.
        median_seconds: Device time of a campaign.
        p90_seconds: Device time that nine of ten campaigns stayed below.
        median_rounds: Rounds of a campaign.
    """

    rule: str
    conditions: str
    true_ratio: float
    covered: Share
    claimed: Share
    resolved: Share
    claimed_wrongly: Share
    peeked_wrongly: Share
    control_missed: Share
    reached: Share
    mean_seconds: float
    median_seconds: float
    p90_seconds: float
    median_rounds: float


def judge(
    rules: tuple[Rule, ...],
    design: Design,
    conditions: Conditions,
    true_ratio: float,
    campaigns: int,
    seed: int,
    simulation: Simulation | None = None,
) -> list[Coverage]:
    """Let rules decide the same simulated campaigns.

    Args:
        rules: What to judge; all see the same data.
        design: Variants, precision, budget and confidence.
        conditions: How the simulated device misbehaves.
        true_ratio: Of every variant to the baseline.
        campaigns: How many.
        seed: Of the simulation.
        simulation: What runs the campaigns; None for rounds of blocks or heats of turns, as the
            design says.

    Returns:
        One result per rule, in order.
    """
    if simulation is None:
        simulation = simulate_heats if design.pairing is Pairing.TURNS else simulate
    data = simulation(design, true_ratio, conditions, seed, campaigns)
    truth = data.true_log_ratios
    results = []
    for rule in rules:
        end = run_rule(rule, design, data.log_ratios, data.elapsed_seconds, truth)
        inside = np.abs(end.centre - truth) <= end.half_width
        claims = np.abs(end.centre) > end.half_width
        right = claims & (np.sign(end.centre) == np.sign(truth))
        wrong = claims & ~right
        results.append(
            Coverage(
                rule=rule.name,
                conditions=conditions.name,
                true_ratio=true_ratio,
                covered=_share(inside.all(axis=1)),
                claimed=_share(claims.any(axis=1)),
                resolved=_share(right.all(axis=1)),
                claimed_wrongly=_share(wrong.any(axis=1)),
                peeked_wrongly=_share(end.ever_missed),
                control_missed=_share(_control_missed(design, data, end.rounds)),
                reached=_share((end.half_width <= np.log1p(design.precision)).all(axis=1)),
                mean_seconds=float(end.seconds.mean()),
                median_seconds=float(np.median(end.seconds)),
                p90_seconds=float(np.quantile(end.seconds, 0.9)),
                median_rounds=float(np.median(end.rounds)),
            )
        )
    return results


def _control_missed(
    design: Design, data: SimulatedCampaigns, rounds: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """(campaigns,), whether the A/A interval at the end of each campaign leaves out 1."""
    missed, controls = np.zeros(len(rounds), dtype=bool), data.controls_after[rounds - 1]
    for n in np.unique(controls):
        if n >= MIN_ROUNDS:
            ended = np.flatnonzero(controls == n)
            series = data.control_log_ratios[ended, :n]
            centre, half_width = choose_rule(design).interval(series, design.confidence)
            missed[ended] = np.abs(centre) > half_width
    return missed


def _share(yes: npt.ArrayLike) -> Share:
    each = np.asarray(yes, dtype=bool)
    return Share(count=int(each.sum()), of=each.size)
