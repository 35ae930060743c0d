"""Campaigns as JSON, by the schema in docs/result-schema.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from android_bench.campaign.result import CampaignResult
from android_bench.records.stored_form import block_fields, campaign_fields
from android_bench.statistics.comparison import Comparison
from android_bench.store import SCHEMA_VERSION
from pfd_models.plain_data import to_plain

__all__ = ["result_document", "result_json"]


def result_document(results: Sequence[CampaignResult]) -> dict[str, Any]:
    """Return campaigns, with what was derived from them, as plain data."""
    return {"schema_version": SCHEMA_VERSION, "campaigns": [_campaign(r) for r in results]}


def result_json(results: Sequence[CampaignResult]) -> str:
    """Return the document as text; numbers that JSON lacks cannot occur in it."""
    return json.dumps(result_document(results), indent=1, allow_nan=False) + "\n"


def _campaign(result: CampaignResult) -> dict[str, Any]:
    return {
        "campaign": campaign_fields(result.campaign),
        "device": {"device_id": result.device.device_id, **to_plain(result.device)},
        "artifacts": [to_plain(artifact) for artifact in result.artifacts.values()],
        "blocks": [block_fields(block) for block in result.blocks],
        "heats": [to_plain(heat) for heat in result.heats],
        "events": [to_plain(event) for event in result.events],
        "profiles": [to_plain(profile) for profile in result.profiles],
        "memory": [to_plain(record) for record in result.memory],
        "summaries": [to_plain(summary) for summary in result.summaries],
        "comparisons": [_comparison(comparison) for comparison in result.comparisons],
        "undisturbed": [_comparison(comparison) for comparison in result.undisturbed],
        "control": None if result.control is None else _comparison(result.control),
        "complete": result.complete,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {**to_plain(comparison), "verdict": comparison.verdict.value}
