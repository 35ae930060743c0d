"""Campaigns on a device that misbehaves in known ways, with a known true effect.

The statistics are judged here: many campaigns are run at once on simulated devices, in the
order that `statistics.design` gives, with device time counted, so that intervals can be
compared with the truth that was put in.

Arrays are laid out (campaign, round, ...). One random stream per call: equal arguments give
equal arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from android_bench.statistics.design import Design, round_order
from android_bench.statistics.study.conditions import Conditions, require_positive
from android_bench.statistics.study.simulated_device import MOST_DRIFT, Device
from pfd_models.errors import InputError

__all__ = ["SimulatedCampaigns", "simulate", "true_log_ratios"]

Floats = npt.NDArray[np.float64]

_DISTINCT_ORDERS = 64  # more make no difference to the results and cost most of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCampaigns:
    """What n campaigns measured, and the truth.

    Attributes:
        log_ratios: (campaigns, rounds, k-1), each variant against the baseline of its round.
        control_log_ratios: (campaigns, controls), the control against the baseline in a round and
            its mirror image, or in a heat that has a twin; the truth is 0.
        controls_after: (rounds,), how many controls there are when a round is complete.
        elapsed_seconds: (campaigns, rounds), device time when a round was complete.
        true_log_ratios: (k-1,).
    """

    log_ratios: Floats
    control_log_ratios: Floats
    controls_after: npt.NDArray[np.int64]
    elapsed_seconds: Floats
    true_log_ratios: Floats


def simulate(
    design: Design,
    true_ratio: float | Mapping[str, float],
    conditions: Conditions,
    seed: int,
    campaigns: int = 1,
) -> SimulatedCampaigns:
    """Run campaigns until their budget of device time is spent.

    Args:
        design: What is measured; each simulated campaign draws its own order.
        true_ratio: Latency of the variants over that of the baseline: one for all, or by label.
        conditions: How the device misbehaves.
        seed: Of the random stream.
        campaigns: How many to run.

    Returns:
        Every round that a campaign could complete within its budget, and at least one more.
    """
    truth = true_log_ratios(design, true_ratio)
    label_logs = dict(zip(design.labels, (0.0, *truth), strict=True))
    k, rounds = len(design.labels), _enough_rounds(design, conditions, label_logs)
    rng = np.random.default_rng(seed)
    variants, is_control = _orders(design, rounds, campaigns, first_seed=int(rng.integers(2**31)))

    device = Device(conditions, campaigns, rng)
    effects = np.array([label_logs[label] for label in design.labels])
    logs = np.empty((campaigns, rounds, k))
    elapsed = np.empty((campaigns, rounds))
    rows = np.arange(campaigns)
    for number in range(rounds):
        for position in range(k):
            variant = variants[:, number, position]
            logs[rows, number, variant] = device.measure(effects[variant])
        elapsed[:, number] = device.seconds

    pairs = rounds // 2
    baseline = logs[:, : 2 * pairs, 0].reshape(campaigns, pairs, 2)
    sign = np.where(is_control[:, : 2 * pairs : 2], -1.0, 1.0)  # control first: first - second
    return SimulatedCampaigns(
        log_ratios=logs[:, :, 1:] - logs[:, :, :1],
        control_log_ratios=sign * (baseline[..., 1] - baseline[..., 0]),
        controls_after=np.arange(1, rounds + 1) // 2,
        elapsed_seconds=elapsed,
        true_log_ratios=truth,
    )


def true_log_ratios(design: Design, true_ratio: float | Mapping[str, float]) -> Floats:
    """(k-1,) logarithms of the true ratios.

    Raises:
        InputError: if one is missing or not above 0.
    """
    if isinstance(true_ratio, Mapping):
        missing = [label for label in design.candidates if label not in true_ratio]
        if missing:
            raise InputError(f"no true ratio for variant {missing[0]!r}: give one for each")
        ratios = [true_ratio[label] for label in design.candidates]
    else:
        ratios = [true_ratio] * len(design.candidates)
    for ratio in ratios:
        require_positive("true_ratio", ratio)
    return np.log(np.array(ratios, dtype=np.float64))


def _enough_rounds(design: Design, how: Conditions, label_logs: Mapping[str, float]) -> int:
    """Rounds that the fastest device can complete within the budget, and two more."""
    fastest = np.exp(np.array(list(label_logs.values())) - MOST_DRIFT * bool(how.drift_per_minute))
    inferring = how.inferences * how.latency_seconds * fastest
    seconds = len(label_logs) * how.overhead_seconds + float(inferring.sum())
    return int(design.budget_seconds / seconds) + 2


def _orders(
    design: Design, rounds: int, campaigns: int, first_seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The variants (campaigns, rounds, k) in order of running, and which rounds hold a control."""
    numbers = {label: i for i, label in enumerate(design.labels)}
    numbers[design.control_label] = 0
    distinct = min(campaigns, _DISTINCT_ORDERS)
    variants = np.empty((distinct, rounds, len(design.labels)), dtype=np.int64)
    is_control = np.empty((distinct, rounds), dtype=bool)
    for i in range(distinct):
        drawn = replace(design, seed=first_seed + i)
        for slot in range(rounds):
            order = round_order(drawn, slot)
            variants[i, slot] = [numbers[label] for label in order]
            is_control[i, slot] = design.control_label in order
    shared = np.arange(campaigns) % distinct
    return variants[shared], is_control[shared]
