"""From a trained float network to one that learns in integers, and from its weights to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from export.graph.program import Program, capture
from export.network.threads import one_thread
from export.passes import run_passes
from export.quantization.qat.network import QuantizedNetwork, fingerprint
from export.quantization.quantize import Quantized, store_integers
from export.quantization.recipe import correct_biases, find_ranges, is_layer, round_layer
from export.quantization.scales import Affine, choose_scales
from export.quantization.simplify import PASSES
from pfd_models.checkpoints import QuantizedWeights
from pfd_models.errors import WeightsError
from pfd_models.zoo.spec import ModelSpec

__all__ = ["RECIPE", "make_network", "prepare", "quantize_trained"]

RECIPE = "min-max ranges, trained in integers (--qat)"


def prepare(model: nn.Module, images: Tensor) -> QuantizedNetwork:
    """Make a network that learns in integers; it begins as the exporter would quantise it.

    Args:
        model: Of the zoo, trained, in evaluation mode.
        images: To calibrate on (N, C, H, W), normalised.

    Raises:
        DataError: A value of the network is not finite on the images.
    """
    samples = [(image[None],) for image in images]
    spec: Any = model.spec  # every network of the zoo has its own
    with one_thread():  # as a build does, so that both find the same ranges
        program = run_passes(capture(model, samples[0]))
        return make_network(program, samples, spec=spec, start=model.state_dict())


def make_network(
    program: Program,
    samples: Sequence[Sequence[Tensor]],
    *,
    spec: ModelSpec,
    start: Mapping[str, Tensor],
) -> QuantizedNetwork:
    """Make a network that learns in integers of a rewritten program.

    Args:
        program: From `export.passes.run_passes`, of one sample.
        samples: To calibrate on.
        spec: Of the network.
        start: Its state dict.

    Raises:
        DataError: A value is not finite on the samples.
    """
    graph = run_passes(program, PASSES).module().graph
    affines = choose_scales(graph, find_ranges(graph, samples))
    layers = correct_biases(graph, samples, affines)
    return QuantizedNetwork(graph, affines, layers, spec=spec, start=start)


def quantize_trained(
    program: Program, weights: QuantizedWeights, *, integer_io: bool = False
) -> Quantized:
    """Quantise a rewritten program with what its training in integers ended with.

    Args:
        program: From `export.passes.run_passes`, of the network that the training began with.
        weights: The result of the training.
        integer_io: As in `export.quantization.quantize.quantize`.

    Raises:
        WeightsError: They are of another graph.
    """
    simplified = run_passes(program, PASSES)
    module = simplified.module()
    if fingerprint(module.graph) != weights.graph:
        raise WeightsError(
            f"the weights of {weights.spec.model}/{weights.spec.variant} were trained in integers "
            "on another graph than this version of the program makes; train again with --qat, or "
            "build with the version that trained them"
        )
    named = {node.name: node for node in module.graph.nodes}
    affines = {
        named[name]: Affine(scale=scale, zero_point=zero_point)
        for name, (scale, zero_point) in weights.affines.items()
    }
    layers = {
        node: round_layer(
            weights.layers[f"{name}.weight"],
            weights.layers[f"{name}.bias"],
            affines[node.all_input_nodes[0]],
        )
        for name, node in named.items()
        if is_layer(node)
    }
    return store_integers(simplified, module, affines, layers, integer_io=integer_io)
