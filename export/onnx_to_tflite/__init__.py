"""This project's own converter from ONNX to TFLite: NHWC, fused, one XNNPACK delegate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.onnx_to_tflite.conversion import Conversion, SignatureTensor, convert
    from export.onnx_to_tflite.inspection import Inspection, inspect

__all__ = ["Conversion", "Inspection", "SignatureTensor", "convert", "inspect"]

_HOMES = {
    "Conversion": "conversion",
    "Inspection": "inspection",
    "SignatureTensor": "conversion",
    "convert": "conversion",
    "inspect": "inspection",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: onnx and the schema bindings are not light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
