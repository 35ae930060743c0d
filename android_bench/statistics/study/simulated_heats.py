"""Campaigns of heats on a device that misbehaves in known ways, with a known true effect.

Turns are simulated one by one, in the order and at the pace that the bench would choose, many
campaigns at once; each heat's number is the bench's own. What is simulated is what the turns of
one heat share and do not share: weather, load, steps and drift are functions of time, and each
process has a speed of its own (see `android_bench.statistics.study.simulated_device`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from android_bench.statistics.design import Design
from android_bench.statistics.heat_order import has_twin, order_turns
from android_bench.statistics.pace import Burst, Pace, choose_kept, make_pace
from android_bench.statistics.study.conditions import Conditions
from android_bench.statistics.study.simulated_campaigns import SimulatedCampaigns, true_log_ratios
from android_bench.statistics.study.simulated_device import MOST_DRIFT, Device
from android_bench.statistics.turns import trimmed_mean

__all__ = ["simulate_heats"]

Floats = npt.NDArray[np.float64]

DISCARDS = 2  # as the pilot finds for the networks of the paper


def simulate_heats(
    design: Design,
    true_ratio: float | Mapping[str, float],
    conditions: Conditions,
    seed: int,
    campaigns: int = 1,
    *,
    turn_seconds: float | None = None,
    twins: bool = True,
) -> SimulatedCampaigns:
    """Run campaigns of turns until their budget of device time is spent.

    Args:
        design: What is measured.
        true_ratio: Latency of the variants over that of the baseline: one for all, or by label.
        conditions: How the device misbehaves.
        seed: Of the random stream, and of the order.
        campaigns: How many to run.
        turn_seconds: What the turns of a heat take together; None as the bench would choose.
        twins: Whether the baseline has a twin in some heats.

    Returns:
        Every heat that a campaign could complete within its budget, and at least one more.
    """
    truth = true_log_ratios(design, true_ratio)
    effects, k = np.array([0.0, *truth]), len(design.labels)
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    device = Device(conditions, campaigns, rng)
    pace = _choose_pace(design, conditions)
    if turn_seconds is not None:
        pace = replace(pace, turn_seconds=turn_seconds)
    log_ratios, controls, elapsed, counts = [], [], [], [0]
    for number in range(_enough_heats(design, conditions, pace, effects)):
        twin = twins and has_twin(design, number)
        counts.append(counts[-1] + twin)
        bursts = [*pace.bursts, *pace.bursts[:twin]]  # the twin, last of the processes
        own = device.start_processes(len(bursts))
        own[:k] += effects[:, None]
        rows = pace.count_rows(bursts)
        logs = np.empty((rows, len(bursts), campaigns))
        order = np.array(order_turns(len(bursts), rows, draw)).reshape(rows, len(bursts))
        for row, processes in enumerate(order):
            for process in processes:
                burst = bursts[process]
                logs[row, process] = device.take_turn(own[process], burst.discards, burst.kept)
        pairs = logs[:, 1:k, None] - logs[:, None, [0, k] if twin else [0]]
        log_ratios.append(trimmed_mean(pairs).mean(axis=1))
        if twin:
            controls.append(trimmed_mean(logs[:, k] - logs[:, 0]))
        elapsed.append(device.seconds.copy())
    return SimulatedCampaigns(
        log_ratios=np.array(log_ratios).transpose(2, 0, 1),
        control_log_ratios=np.array(controls).reshape(len(controls), campaigns).T,
        elapsed_seconds=np.array(elapsed).T,
        true_log_ratios=truth,
        controls_after=np.array(counts[1:]),
    )


def _choose_pace(design: Design, conditions: Conditions) -> Pace:
    latency = conditions.latency_seconds
    bursts = [
        Burst(
            label=label,
            discards=DISCARDS,
            kept=choose_kept(DISCARDS, latency),
            first_ns=1e9 * latency,
            settled_ns=1e9 * latency,
        )
        for label in design.labels
    ]
    return make_pace(bursts, len(bursts) * conditions.start_seconds)


def _enough_heats(design: Design, how: Conditions, pace: Pace, effects: Floats) -> int:
    """Heats that the fastest device can complete within the budget, and two more."""
    fastest = math.exp(float(effects.min()) - MOST_DRIFT * bool(how.drift_per_minute))
    seconds = len(design.labels) * how.start_seconds + fastest * pace.turn_seconds
    return int(design.budget_seconds / seconds) + 2
