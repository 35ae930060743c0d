"""Node data for Model Explorer: the median time of each operator, drawn on the network's graph.

One file a variant, from the profiling pass of a .tflite file; values are milliseconds under the
names of the operators' output tensors, by which Model Explorer finds its nodes. Load the .tflite
file there, then this one as its node data.

Source: google-ai-edge/model-explorer, ``node_data_builder.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from android_bench.campaign.result import CampaignResult
from android_bench.records import OperatorProfile
from android_bench.report.exports._measures import require_one_campaign_each
from android_bench.report.exports._steps import place_steps
from export.onnx_to_tflite.listing import FileOperator, list_operators
from pfd_models.errors import InputError

ENDING = ".model-explorer.json"

_COLOURS = [{"stop": 0, "bgColor": "#fff7ed"}, {"stop": 1, "bgColor": "#c2410c"}]


def write(results: Sequence[CampaignResult]) -> dict[str, bytes]:
    """Return a file for each variant that was profiled.

    Raises:
        InputError: There are several campaigns, no operator was profiled, the measured file is no
            .tflite, is gone or has changed, or its operators cannot be told apart.
    """
    require_one_campaign_each(results, "model-explorer")
    (result,) = results
    if not result.profiles:
        raise InputError(
            f"campaign {result.campaign.campaign_id} has no times of operators: "
            "run it with --profile"
        )
    return {profile.label: _encode(result, profile) for profile in result.profiles}


def _encode(result: CampaignResult, profile: OperatorProfile) -> bytes:
    operators = _read_operators(result, profile.label)
    places = place_steps([step.name for step in profile.operators], operators)
    if places is None:
        raise InputError(
            f"the {len(profile.operators)} profiled steps of {profile.label} do not fit the "
            f"{len(operators)} operators of {result.artifact(profile.label).file}: "
            "`pfd-bench show` lists them by the engine's names"
        )
    times_ms = dict.fromkeys(range(len(operators)), 0.0)
    for place, median_ns in zip(places, profile.median_ns(), strict=True):
        times_ms[place] += median_ns / 1e6
    document: dict[str, Any] = {
        "name": f"ms, {profile.label}, campaign {result.campaign.campaign_id}",
        "results": {
            tensor.name: {"value": times_ms[operator.index]}
            for operator in operators
            for tensor in operator.outputs
        },
        "gradient": _COLOURS,
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _read_operators(result: CampaignResult, label: str) -> tuple[FileOperator, ...]:
    artifact = result.artifact(label)
    if artifact.format != "tflite":
        raise InputError(
            f"{label} ran {artifact.file}: Model Explorer opens .tflite files, so measure that "
            "format with --profile"
        )
    manifest = result.campaign.manifests.get(artifact.sha256, "")
    path = Path(manifest).parent / artifact.file
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"the names of the operators stand in the measured file, and {path} cannot be read: "
            f"{reason}; put it back there"
        ) from error
    if hashlib.sha256(content).hexdigest() != artifact.sha256:
        raise InputError(
            f"{path} is not the file that campaign {result.campaign.campaign_id} measured: "
            "measure it again, with --profile"
        )
    return list_operators(content, name=str(path))
