"""A figure for every operator, as Model Explorer reads it beside a graph.

The file holds node data of one graph: ``results`` by the name of a node's result, and a
``gradient`` from the least to the largest value. The names are those of the int8 ``.onnx``.
Source: https://github.com/google-ai-edge/model-explorer, ``node_data_builder.py``, GraphNodeData.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.quantization.sensitivity.result import Sensitivity

__all__ = ["make_node_data"]

_WORST, _BEST = "#e11d48", "#f8fafc"


def make_node_data(
    sensitivity: Sensitivity, names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return node data: each operator's layer's loss when quantised alone, in dB of SQNR.

    Args:
        sensitivity: What was measured.
        names: What a file calls an operator's result, where it has another name; operators that
            are not in it are left out. None stands for the ``.onnx``.
    """
    return {
        "name": "SQNR dB, layer alone in int8",
        "results": {
            operator if names is None else names[operator]: {"value": round(row.alone.sqnr_db, 2)}
            for row in sensitivity.layers
            for operator in row.operators
            if names is None or operator in names
        },
        "gradient": [{"stop": 0, "bgColor": _WORST}, {"stop": 1, "bgColor": _BEST}],
    }
