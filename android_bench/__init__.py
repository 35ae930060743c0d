"""How long a model takes on a device, and how sure that is. Never imports torch.

The names below are a bench in Python (docs/benchmarking.md); they load their modules when they
are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from android_bench.campaign.campaign import run_campaign
    from android_bench.campaign.contest import contests_of, find_files
    from android_bench.campaign.opening import open_bench
    from android_bench.campaign.result import CampaignResult, read_result
    from android_bench.campaign.series import compare
    from android_bench.cli.progress import Display
    from android_bench.records import Rules
    from android_bench.report.console import verdict_lines
    from android_bench.report.page import report_page
    from android_bench.statistics.comparison import Comparison, Verdict
    from android_bench.store import open_store

__all__ = [
    "CampaignResult",
    "Comparison",
    "Display",
    "Rules",
    "Verdict",
    "compare",
    "contests_of",
    "find_files",
    "open_bench",
    "open_store",
    "read_result",
    "report_page",
    "run_campaign",
    "verdict_lines",
]

_HOMES = {
    "CampaignResult": "android_bench.campaign.result",
    "Comparison": "android_bench.statistics.comparison",
    "Display": "android_bench.cli.progress",
    "Rules": "android_bench.records",
    "Verdict": "android_bench.statistics.comparison",
    "compare": "android_bench.campaign.series",
    "contests_of": "android_bench.campaign.contest",
    "find_files": "android_bench.campaign.contest",
    "open_bench": "android_bench.campaign.opening",
    "open_store": "android_bench.store",
    "read_result": "android_bench.campaign.result",
    "report_page": "android_bench.report.page",
    "run_campaign": "android_bench.campaign.campaign",
    "verdict_lines": "android_bench.report.console",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
