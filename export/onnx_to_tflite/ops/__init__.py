"""Lowerings from ONNX to TFLite: one ONNX operator group per file, found by looking in this folder.

Adding an operator is one decorated function in one of these files or in a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from export.onnx_to_tflite.graph import DTYPES
from pfd_models.discovery import import_files

if TYPE_CHECKING:
    from export.onnx_to_tflite.builder import Builder
    from export.onnx_to_tflite.reader import Node

__all__ = [
    "ANY_TYPE",
    "FLOAT",
    "NUMBERS",
    "Lowering",
    "LoweringFunction",
    "Preference",
    "lowerings",
    "lowers",
]

LoweringFunction = Callable[["Node", "Builder"], None]
Preference = Literal["any", "nhwc", "plain"]

#: Element types, by numpy's names, that an operator computes with.
FLOAT = ("float32",)
NUMBERS = ("float32", "int32", "int64")
ANY_TYPE = DTYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """How one ONNX operator is lowered.

    Attributes:
        op_type: ONNX operator.
        lower: Emits TFLite operators and binds the node's outputs.
        layout: Order the operator wants its operands in: ``nhwc``, ONNX's own (``plain``), or
            whatever they have (``any``), in which case its readers decide.
        types: Element types that computed operands and results may have.
    """

    op_type: str
    lower: LoweringFunction
    layout: Preference
    types: tuple[str, ...]


_registry: dict[str, Lowering] = {}


def lowers(
    *op_types: str, layout: Preference = "plain", types: tuple[str, ...] = FLOAT
) -> Callable[[LoweringFunction], LoweringFunction]:
    """Register the decorated function as the lowering of one or more ONNX operators.

    Raises:
        ValueError: Another function lowers the same operator.
    """

    def register(function: LoweringFunction) -> LoweringFunction:
        for op_type in op_types:
            if op_type in _registry:
                other = _registry[op_type].lower.__module__
                raise ValueError(f"{op_type} is already lowered in {other}")
            _registry[op_type] = Lowering(
                op_type=op_type, lower=function, layout=layout, types=types
            )
        return function

    return register


def lowerings() -> dict[str, Lowering]:
    """Return every lowering by ONNX operator, importing the files of this folder."""
    import_files(__name__)
    return dict(_registry)
