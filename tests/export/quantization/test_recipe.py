"""Ranges and bias correction: what they are, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.passes import run_passes
from export.quantization.quantize import quantize
from export.quantization.recipe import correct_biases, find_ranges, is_layer
from export.quantization.scales import choose_scales
from export.quantization.simplify import PASSES
from pfd_models.errors import DataError
from tests.export.quantization.conftest import capture_simply, noise

SHAPE = (1, 3, 8, 8)


def prepare(function, *layers):
    program = run_passes(capture_simply(function, SHAPE, *layers), PASSES)
    graph = program.module().graph
    samples = noise(SHAPE, 8)
    return graph, samples, choose_scales(graph, find_ranges(graph, samples))


def test_a_range_is_the_least_and_the_largest_number_over_all_samples():
    graph, samples, _ = prepare(lambda x: x.mean((2, 3), keepdim=True))
    ranges = find_ranges(graph, samples)
    image = next(n for n in graph.nodes if n.op == "placeholder")
    values = torch.stack([x for (x,) in samples])
    assert (ranges[image].low, ranges[image].high) == (float(values.min()), float(values.max()))


def test_corrected_biases_bring_each_layers_mean_back():
    def mean_error(correct):
        layers = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3)]
        program = capture_simply(lambda x, a, b, c: c(F.relu(b(F.relu(a(x))))), SHAPE, *layers)
        samples = noise(SHAPE, 16)
        rounded = quantize(program, samples, correct=correct).program
        difference = [(rounded.run(s)[0] - program.run(s)[0]) for s in samples]
        return float(torch.stack(difference).mean((0, 1, 3, 4)).abs().mean())

    assert mean_error(correct=True) < 0.5 * mean_error(correct=False)


def test_without_correction_the_bias_is_the_rounded_one():
    graph, samples, affines = prepare(lambda x, c: c(x), nn.Conv2d(3, 4, 1))
    layers = correct_biases(graph, samples, affines, correct=False)
    (node,) = [n for n in graph.nodes if is_layer(n)]
    step = affines[node.all_input_nodes[0]].scale * layers[node].scales
    bias = next(b for n, b in graph.owning_module.named_parameters() if n.endswith("bias"))
    assert np.allclose((layers[node].bias * step).numpy(), bias.detach(), atol=float(step.max()))


def test_values_that_are_not_finite_are_refused_with_the_operators_name():
    layer = nn.Conv2d(3, 4, 1)
    program = capture_simply(lambda x, c: c(x), SHAPE, layer)
    with pytest.raises(DataError, match="has values that are not finite on the calibration data"):
        quantize(program, [(torch.full(SHAPE, float("nan")),)])
