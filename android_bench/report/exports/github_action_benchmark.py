"""github-action-benchmark: charts and alerts in a repository's pages (``customSmallerIsBetter``).

Two entries a candidate: its latency, and its ratio to the baseline, whose range is the half-width
of its interval. An alert on the ratio follows the change of the network; one on the latency
follows the runner too.

Source: README of benchmark-action/github-action-benchmark, "customBiggerIsBetter and
customSmallerIsBetter".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from android_bench.campaign.result import CampaignResult
from android_bench.report.exports._measures import Measured, collect_measured
from android_bench.report.wording import interval

ENDING = ".github-action-benchmark.json"


def write(results: Sequence[CampaignResult]) -> dict[str, bytes]:
    """Return one file about all campaigns.

    Raises:
        InputError: A campaign has nothing to say, or two say the same.
    """
    measured = collect_measured(results, "github-action-benchmark")
    entries = [entry for one in measured for entry in _entries(one)]
    return {"": (json.dumps(entries, indent=1, allow_nan=False) + "\n").encode()}


def _entries(one: Measured) -> Iterator[dict[str, Any]]:
    summary, campaign = one.summary, one.result.campaign
    where = f"campaign {campaign.campaign_id}, harness {campaign.harness_version}"
    yield {
        "name": one.name,
        "unit": "ms",
        "value": summary.median_ns / 1e6,
        "range": f"{summary.p10_ns / 1e6:.4g} to {summary.p90_ns / 1e6:.4g}",
        "extra": f"median of {summary.n_samples} samples; range: 10th to 90th percentile\n{where}",
    }
    if (ratio := one.comparison) is not None:
        yield {
            "name": f"{one.name}: against {ratio.baseline}",
            "unit": "ratio",
            "value": ratio.ratio,
            "range": f"± {ratio.half_width * ratio.ratio:.2g}",
            "extra": (
                f"{ratio.verdict.value}, {100 * ratio.confidence:.4g} % interval {interval(ratio)}"
                f" from {ratio.n_rounds} comparisons\n{where}"
            ),
        }
