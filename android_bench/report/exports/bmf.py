"""Bencher Metric Format: what bencher.dev follows from commit to commit.

A benchmark is a file on a device; its measures are ``latency`` (ns, the median) with the
quantiles around it, and, for all but the baseline, the ratio to the baseline. The format has
room for an interval; only the ratio has one, because the milliseconds of one session are not
those of the next.

Source: bencher.dev, "Bencher Metric Format (BMF)" and its schema bencher.dev/bmf.json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from android_bench.campaign.result import CampaignResult
from android_bench.report.exports._measures import Measured, collect_measured
from android_bench.statistics.comparison import Comparison

ENDING = ".bmf.json"


def write(results: Sequence[CampaignResult]) -> dict[str, bytes]:
    """Return one file about all campaigns.

    Raises:
        InputError: A campaign has nothing to say, or two say the same.
    """
    document = {one.name: _measures(one) for one in collect_measured(results, "bmf")}
    return {"": (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()}


def _measures(one: Measured) -> dict[str, Any]:
    summary = one.summary
    plain: dict[str, float | None] = {
        "latency": summary.median_ns,
        "latency-p10": summary.p10_ns,
        "latency-p90": summary.p90_ns,
        "cold-load": summary.cold_load_ns,
        "first-inference": summary.first_inference_ns,
        "peak-memory": None if summary.peak_memory_kib is None else 1024 * summary.peak_memory_kib,
        "file-size": one.artifact.size_bytes,
    }
    measures: dict[str, Any] = {k: {"value": v} for k, v in plain.items() if v is not None}
    if one.comparison is not None:
        measures["latency-ratio"] = _ratio(one.comparison)
    if one.undisturbed is not None:
        measures["latency-ratio-undisturbed"] = _ratio(one.undisturbed)
    return measures


def _ratio(comparison: Comparison) -> dict[str, float]:
    return {
        "value": comparison.ratio,
        "lower_value": comparison.low,
        "upper_value": comparison.high,
    }
