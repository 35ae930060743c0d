"""TFLite's ``BenchmarkResult`` protobuf, as ``benchmark_model --result_file_path`` writes it.

One file a variant. The message has no field for an interval, nor for a core, a clock or a
temperature; what it has, it gets: times in ms and memory in the units of its names.

Source: LiteRT, ``tflite/tools/benchmark/proto/benchmark_result.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from android_bench.campaign.result import CampaignResult
from android_bench.report.exports._measures import (
    Measured,
    Nanoseconds,
    collect_kept_samples,
    collect_measured,
    require_one_campaign_each,
)
from android_bench.report.exports._messages import make_messages

ENDING = ".pb"

PACKAGE = "tflite.tools.benchmark"
MESSAGES = {
    "BenchmarkResult": [
        ("name", 1, "string"),
        ("latency_metrics", 2, "LatencyMetrics"),
        ("memory_metrics", 3, "MemoryMetrics"),
        ("misc_metrics", 4, "MiscMetrics"),
    ],
    "LatencyMetrics": [
        ("avg_ms", 1, "float"),
        ("min_ms", 2, "float"),
        ("max_ms", 3, "float"),
        ("stddev_ms", 4, "float"),
        ("median_ms", 5, "float"),
        ("p5_ms", 6, "float"),
        ("p95_ms", 7, "float"),
        ("init_ms", 8, "float"),
        ("first_inference_ms", 9, "float"),
    ],
    "MemoryMetrics": [("peak_mem_mb", 3, "float")],
    "MiscMetrics": [
        ("model_size_mb", 1, "float"),
        ("num_runs", 2, "int32"),
        ("throughput_fps", 5, "float"),
    ],
}


def write(results: Sequence[CampaignResult]) -> dict[str, bytes]:
    """Return a file for each variant of one campaign.

    Raises:
        InputError: There are several campaigns, or it has nothing to say.
    """
    require_one_campaign_each(results, "benchmark-result-pb")
    measured = collect_measured(results, "benchmark-result-pb")
    samples = collect_kept_samples(results[0])
    return {one.summary.label: _encode(one, samples[one.summary.label]) for one in measured}


def _encode(one: Measured, samples_ns: Nanoseconds) -> bytes:
    summary, ms = one.summary, samples_ns / 1e6
    low, high = np.quantile(ms, [0.05, 0.95])
    message = make_messages(PACKAGE, MESSAGES)["BenchmarkResult"](name=one.name)
    latency = message.latency_metrics
    latency.avg_ms, latency.stddev_ms = ms.mean(), ms.std()
    latency.min_ms, latency.max_ms = ms.min(), ms.max()
    latency.median_ms, latency.p5_ms, latency.p95_ms = summary.median_ns / 1e6, low, high
    if summary.cold_load_ns is not None:
        latency.init_ms = summary.cold_load_ns / 1e6
    if summary.first_inference_ns is not None:
        latency.first_inference_ms = summary.first_inference_ns / 1e6
    if summary.peak_memory_kib is not None:
        message.memory_metrics.peak_mem_mb = summary.peak_memory_kib / 1024
    message.misc_metrics.model_size_mb = one.artifact.size_bytes / 1e6
    message.misc_metrics.num_runs = summary.n_samples
    message.misc_metrics.throughput_fps = 1000 / ms.mean()
    encoded: bytes = message.SerializeToString()
    return encoded
