"""From a program in float to one in 8-bit integers: simplify, calibrate, correct, insert."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from export.graph.module_paths import keep_module_paths
from export.graph.program import Program
from export.passes import drop_unused_state, run_passes
from export.quantization.insert import insert_nodes
from export.quantization.recipe import correct_biases, find_ranges
from export.quantization.roles import is_selection, why_float
from export.quantization.scales import Affine, choose_scales, stored_result
from export.quantization.simplify import PASSES
from export.sets.manifest import TensorSpec

__all__ = ["RECIPE", "Quantized", "quantize"]

RECIPE = "min-max ranges, sequential bias correction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A quantised network.

    Attributes:
        program: With quantise and dequantise nodes; every format is written from it.
        inputs: Of each input, what its integers stand for; None for one that is not stored.
        outputs: The same of each output.
        kept_float: What computes in float, a line each: operator and cause.
        rounds_nothing: Whether that, if there is any, only picks and converts numbers.
    """

    program: Program
    inputs: tuple[Affine | None, ...]
    outputs: tuple[Affine | None, ...]
    kept_float: tuple[str, ...]
    rounds_nothing: bool


def quantize(
    program: Program,
    samples: Sequence[Sequence[Tensor]],
    *,
    correct: bool = True,
    integer_io: bool = False,
) -> Quantized:
    """Quantise a rewritten program with static 8-bit scales.

    Args:
        program: From `export.passes.run_passes`.
        samples: Calibration data, each a tensor per input of the program's shapes.
        correct: Correct biases; see `recipe`.
        integer_io: Let the caller feed and read integers where an input or output is stored.

    Raises:
        DataError: A value is not finite on the data.
    """
    simplified = run_passes(program, PASSES)
    module = simplified.module()
    graph = module.graph
    affines = choose_scales(graph, find_ranges(graph, samples))
    layers = correct_biases(graph, samples, affines, correct=correct)
    calls = [node for node in graph.nodes if node.op == "call_function"]
    causes = {node: cause for node in calls if (cause := why_float(node)) is not None}
    kept = tuple(
        f"{node.name} ({str(node.target).removeprefix('aten.')}): {cause}"
        for node, cause in causes.items()
    )
    rounds_nothing = all(map(is_selection, causes))
    inputs = [affines.get(node) for node in graph.nodes if node.op == "placeholder"]
    outputs = [affines.get(stored_result(node)) for node in _outputs(graph)]
    insert_nodes(graph, affines, layers, integer_io=integer_io)
    graph.eliminate_dead_code()
    drop_unused_state(module)
    graph.lint()
    module.recompile()
    example, specs = program.example, (program.inputs, program.outputs)
    if integer_io:
        example = tuple(
            x if affine is None else x.to(torch.int8)
            for x, affine in zip(example, inputs, strict=True)
        )
        specs = (_stored_specs(program.inputs, inputs), _stored_specs(program.outputs, outputs))
    with torch.no_grad():
        exported = torch.export.export(module, example, strict=False)
    keep_module_paths(graph, exported.graph)
    return Quantized(
        program=dataclasses.replace(
            simplified, exported=exported, example=example, inputs=specs[0], outputs=specs[1]
        ),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        kept_float=kept,
        rounds_nothing=rounds_nothing,
    )


def _outputs(graph: fx.Graph) -> list[fx.Node]:
    output = next(n for n in graph.nodes if n.op == "output")
    return [leaf for leaf in tree_leaves(output.args) if isinstance(leaf, fx.Node)]


def _stored_specs(
    specs: tuple[TensorSpec, ...], affines: Sequence[Affine | None]
) -> tuple[TensorSpec, ...]:
    return tuple(
        spec
        if affine is None
        else dataclasses.replace(
            spec, dtype="int8", scale=affine.scale, zero_point=affine.zero_point
        )
        for spec, affine in zip(specs, affines, strict=True)
    )
