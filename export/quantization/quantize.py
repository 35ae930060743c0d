"""From a program in float to one in 8-bit integers: simplify, calibrate, correct, insert."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from export.graph.program import Program
from export.passes import drop_unused_state, run_passes
from export.quantization.insert import insert_nodes
from export.quantization.recipe import correct_biases, find_ranges
from export.quantization.roles import why_float
from export.quantization.scales import choose_scales
from export.quantization.simplify import PASSES

__all__ = ["KeptFloat", "Quantized", "quantize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFloat:
    """A call that stays in float, with why."""

    name: str
    op: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A quantised network.

    Attributes:
        program: With quantise and dequantise nodes; every format is written from it.
        kept_float: What computes in float, in order.
    """

    program: Program
    kept_float: tuple[KeptFloat, ...]


def quantize(
    program: Program, samples: Sequence[Sequence[Tensor]], *, correct: bool = True
) -> Quantized:
    """Quantise a rewritten program with static 8-bit scales.

    Args:
        program: From `export.passes.run_passes`.
        samples: Calibration data, each a tensor per input of the program's shapes.
        correct: Correct biases; see `recipe`.

    Raises:
        DataError: A value is not finite on the data.
    """
    simplified = run_passes(program, PASSES)
    module = simplified.module()
    ranges = find_ranges(module.graph, samples)
    affines = choose_scales(module.graph, ranges)
    layers = correct_biases(module.graph, samples, affines, correct=correct)
    kept = tuple(
        KeptFloat(name=node.name, op=str(node.target).removeprefix("aten."), cause=cause)
        for node in module.graph.nodes
        if node.op == "call_function" and (cause := why_float(node)) is not None
    )
    insert_nodes(module.graph, affines, layers)
    module.graph.eliminate_dead_code()
    drop_unused_state(module)
    module.graph.lint()
    module.recompile()
    with torch.no_grad():
        exported = torch.export.export(module, program.example, strict=False)
    return Quantized(
        program=dataclasses.replace(simplified, exported=exported), kept_float=kept
    )
