"""The file that Jetpack's benchmark library writes, ``…-benchmarkData.json``: raw nanoseconds.

What the library asks an app for and a command-line harness does not have is -1 or empty, as the
library itself writes it where it finds nothing. Intervals have no field of their own; they stand
in the context's payload, which is there for what else one wants to carry along.

Source: androidx, benchmark/benchmark-common, ``json/BenchmarkData.kt``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from android_bench.campaign.result import CampaignResult
from android_bench.records import DeviceRecord
from android_bench.report.exports._measures import (
    Measured,
    Nanoseconds,
    collect_kept_samples,
    collect_measured,
    require_one_campaign_each,
)

ENDING = "-benchmarkData.json"

_CLASS = "pfd.Latency"  # the tools group by the class of a test


def write(results: Sequence[CampaignResult]) -> dict[str, bytes]:
    """Return one file about one campaign: its context is one device.

    Raises:
        InputError: There are several campaigns, or it has nothing to say.
    """
    require_one_campaign_each(results, "androidx")
    measured = collect_measured(results, "androidx")
    samples = collect_kept_samples(results[0])
    document = {
        "context": _context(measured),
        "benchmarks": [_test_result(one, samples[one.summary.label]) for one in measured],
    }
    return {"": (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()}


def _context(measured: Sequence[Measured]) -> dict[str, Any]:
    result = measured[0].result
    device = result.device
    top_khz = max((c.max_khz for c in device.clusters if c.max_khz is not None), default=None)
    payload = {"campaign": result.campaign.campaign_id, "soc": device.soc, "kernel": device.kernel}
    for one in measured:
        if (ratio := one.comparison) is not None:
            payload[f"ratio of {ratio.label} to {ratio.baseline}"] = (
                f"{ratio.ratio:.5f} ({100 * ratio.confidence:g} % interval {ratio.low:.5f} to "
                f"{ratio.high:.5f}): {ratio.verdict.value}"
            )
    return {
        "build": {
            "brand": device.manufacturer,
            "device": device.model,
            "fingerprint": "",
            "id": "",
            "model": device.model,
            "type": "user",
            "version": {"codename": "REL", "sdk": _sdk(device)},
        },
        "cpuCoreCount": device.cpu_count,
        "cpuLocked": all(c.governor == "performance" for c in device.clusters),
        "cpuMaxFreqHz": -1 if top_khz is None else 1000 * top_khz,
        "memTotalBytes": -1 if device.memory_kib is None else 1024 * device.memory_kib,
        "sustainedPerformanceModeEnabled": False,
        "artMainlineVersion": -1,
        "osCodenameAbbreviated": "",
        "compilationMode": "native",
        "payload": payload,
    }


def _sdk(device: DeviceRecord) -> int:
    found = re.search(r"API (\d+)", device.os)
    return int(found[1]) if found else -1


def _test_result(one: Measured, samples_ns: Nanoseconds) -> dict[str, Any]:
    runs = samples_ns.astype(np.float64)
    return {
        "name": one.summary.label,
        "params": {"file": one.artifact.file, "sha256": one.artifact.sha256},
        "className": _CLASS,
        "totalRunTimeNs": int(samples_ns.sum()),
        "metrics": {
            "timeNs": {
                "minimum": float(runs.min()),
                "maximum": float(runs.max()),
                "median": one.summary.median_ns,
                "runs": runs.tolist(),
            }
        },
        "sampledMetrics": {},
        "warmupIterations": None,
        "repeatIterations": len(runs),
        # The bench waits before a block or heat until the device is cool; it does not sleep inside.
        "thermalThrottleSleepSeconds": 0,
        "profilerOutputs": None,
    }
