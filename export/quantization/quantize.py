"""From a program in float to one in 8-bit integers: simplify, calibrate, correct, insert."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from export.graph.module_paths import keep_module_paths, name_results
from export.graph.program import Program
from export.passes import drop_unused_state, run_passes
from export.passes._editing import calls
from export.quantization.insert import QDQ, insert_nodes
from export.quantization.layers import choose_layers, keep_float, module_path, name_layers
from export.quantization.recipe import Corrected, correct_biases, find_ranges
from export.quantization.roles import Role, is_computed, is_selection, role, why_float
from export.quantization.scales import Affine, choose_scales, stored_result
from export.quantization.simplify import PASSES
from export.sets.manifest import StoredValue, TensorSpec
from pfd_models.errors import SpecError

__all__ = ["RECIPE", "Quantized", "Simplified", "quantize", "simplify", "store_integers"]

RECIPE = "min-max ranges, sequential bias correction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A quantised network.

    Attributes:
        program: With quantise and dequantise nodes; every format is written from it.
        simplified: The network in float that it was made from.
        inputs: Of each input, what its integers stand for; None for one that is not stored.
        outputs: The same of each output.
        kept_float: What computes in float, a line each: operator and cause.
        values: What operators compute and store in 8 bits, in order.
        kept: Layers that are in float, wholly or in part, because somebody wants them to be.
        rounds_nothing: Whether what is in float, if anything, only picks and converts numbers.
    """

    program: Program
    simplified: Program
    inputs: tuple[Affine | None, ...]
    outputs: tuple[Affine | None, ...]
    kept_float: tuple[str, ...]
    values: tuple[StoredValue, ...] = ()
    kept: tuple[str, ...] = ()
    rounds_nothing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Simplified:
    """A network in float as it will be quantised.

    Attributes:
        program: With the rewrites in its records.
        module: Its graph, of its own: editing it changes nothing else.
        layers: The operators of each layer that is not kept in float.
        kept: The layers that are.
    """

    program: Program
    module: fx.GraphModule
    layers: dict[str, list[fx.Node]]
    kept: tuple[str, ...] = ()

    def find_result(self, layer: str) -> fx.Node:
        """Return the value that a layer hands on: that of its last operator, behind a clamp."""
        return stored_result(self.layers[layer][-1])

    def list_stored(self, affines: Mapping[fx.Node, Affine]) -> list[fx.Node]:
        """Return what is computed and stored in 8 bits, in the order of `Quantized.values`.

        Args:
            affines: From `choose_scales` of the module's graph.
        """
        nodes = self.module.graph.nodes
        return [node for node in nodes if node in affines and node.users and is_computed(node)]


def simplify(program: Program, keep: Sequence[str] = ()) -> Simplified:
    """Rewrite a program for quantisation, and mark what is to stay in float.

    Args:
        program: From `export.passes.run_passes`.
        keep: Modules or layers that are to compute in float.

    Raises:
        SpecError: There is no module or layer of a name in `keep`.
    """
    simplified = run_passes(program, PASSES)
    module = simplified.module()
    layers = name_layers(module.graph)
    kept = keep_float(layers, choose_layers(layers, keep))
    left = {name: [n for n in nodes if role(n) is Role.INTEGER] for name, nodes in layers.items()}
    return Simplified(
        program=simplified,
        module=module,
        layers={name: nodes for name, nodes in left.items() if nodes},
        kept=kept,
    )


def quantize(
    program: Program,
    samples: Sequence[Sequence[Tensor]],
    *,
    correct: bool = True,
    integer_io: bool = False,
    keep: Sequence[str] = (),
) -> Quantized:
    """Quantise a rewritten program with static 8-bit scales.

    Args:
        program: From `export.passes.run_passes`.
        samples: Calibration data, each a tensor per input of the program's shapes.
        correct: Correct biases; see `recipe`.
        integer_io: Let the caller feed and read integers where an input or output is stored.
        keep: Modules or layers that are to compute in float.

    Raises:
        DataError: A value is not finite on the data.
        SpecError: There is no module or layer of a name in `keep`, or nothing is left to quantise.
    """
    network = simplify(program, keep)
    if not network.layers:
        raise SpecError(_say_nothing_left(network))
    graph = network.module.graph
    affines = choose_scales(graph, find_ranges(graph, samples))
    layers = correct_biases(graph, samples, affines, correct=correct)
    stored = store_integers(network.program, network.module, affines, layers, integer_io=integer_io)
    return dataclasses.replace(stored, kept=network.kept)


def _say_nothing_left(network: Simplified) -> str:
    if network.kept:
        return (
            f"with {', '.join(network.kept)} in float nothing of the network computes in 8 bits; "
            "keep less in float, or build fp32 or fp16"
        )
    causes = {
        f"{node.name} ({cause})"
        for node in network.module.graph.nodes
        if node.op == "call_function" and (cause := why_float(node)) is not None
    }
    why = f": {', '.join(sorted(causes)[:3])}" if causes else ""
    return f"nothing of the network computes in 8 bits{why}; build fp32 or fp16"


def store_integers(
    simplified: Program,
    module: fx.GraphModule,
    affines: Mapping[fx.Node, Affine],
    layers: Mapping[fx.Node, Corrected],
    *,
    integer_io: bool,
) -> Quantized:
    """Write scales and stored weights into a simplified program.

    Args:
        simplified: The program.
        module: Of it; is edited.
        affines: Of the values in its graph that are stored.
        layers: Stored weights of the layers in its graph.
        integer_io: As in `quantize`.
    """
    graph = module.graph
    made = [n for n in graph.nodes if n.op == "call_function" and n.users]  # no assertions
    causes = {node: cause for node in made if (cause := why_float(node)) is not None}
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
    example, specs = simplified.example, (simplified.inputs, simplified.outputs)
    if integer_io:
        example = tuple(
            x if affine is None else x.to(torch.int8)
            for x, affine in zip(example, inputs, strict=True)
        )
        specs = (
            _stored_specs(simplified.inputs, inputs),
            _stored_specs(simplified.outputs, outputs),
        )
    with torch.no_grad():
        exported = torch.export.export(module, example, strict=False)
    keep_module_paths(graph, exported.graph)
    return Quantized(
        program=dataclasses.replace(
            simplified, exported=exported, example=example, inputs=specs[0], outputs=specs[1]
        ),
        simplified=simplified,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        kept_float=kept,
        rounds_nothing=rounds_nothing,
        values=_list_values(graph, exported.graph),
    )


def _list_values(graph: fx.Graph, exported: fx.Graph) -> tuple[StoredValue, ...]:
    """Return what operators compute and store, by the names that the files have for it.

    Args:
        graph: With the modules' paths.
        exported: The same again, with the names of the files.
    """
    names = name_results(exported)
    stored = zip(
        *(calls(g, QDQ.quantize_per_tensor.default) for g in (graph, exported)), strict=True
    )
    return tuple(
        StoredValue(
            name=names.get(named.all_input_nodes[0].name, named.all_input_nodes[0].name),
            module=module_path(known.all_input_nodes[0]),
            scale=float(named.args[1]),  # type: ignore[arg-type]  # a number
            zero_point=int(named.args[2]),  # type: ignore[arg-type]
        )
        for known, named in stored
        if is_computed(known.all_input_nodes[0])
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
