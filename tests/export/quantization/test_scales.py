"""Scales: who shares one, what a clamp spares, and what no kernel would take."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.passes import run_passes
from export.quantization.recipe import find_ranges
from export.quantization.scales import (
    LEAST_RATIO,
    MOST_BIAS,
    MOST_RATIO,
    Affine,
    choose_scales,
    fake_quantize,
    weight_scales,
)
from export.quantization.simplify import PASSES
from tests.export.quantization.conftest import capture_simply, noise

SHAPE = (1, 4, 6, 6)


def scales_of(function, *layers, factor=1.0):
    program = run_passes(capture_simply(function, SHAPE, *layers), PASSES)
    graph = program.module().graph
    samples = [(x * factor,) for (x,) in noise(SHAPE, 6)]
    chosen = choose_scales(graph, find_ranges(graph, samples))
    return {str(n.target): affine for n, affine in chosen.items()}


def test_what_meets_in_a_concatenation_has_one_scale():
    def block(x, c):
        return torch.cat([c(x), F.max_pool2d(x, 3, 1, 1)], 1)[:, 1:]

    assert len(set(scales_of(block, nn.Conv2d(4, 4, 1)).values())) == 1


def test_a_sum_has_a_scale_of_its_own():
    found = scales_of(lambda x, c: c(x) * 9.0 + x, nn.Conv2d(4, 4, 1))
    assert len(set(found.values())) == len(found)


def test_a_clamp_spends_no_range_on_what_it_takes_away():
    found = scales_of(lambda x, c: F.relu6(c(x)), nn.Conv2d(4, 4, 1), factor=50.0)
    assert "aten.conv2d.default" not in found  # it is stored as the clamp leaves it
    assert Affine(scale=pytest.approx(6 / 255), zero_point=-128) in found.values()


def test_a_constant_of_a_sum_is_within_what_the_kernels_take():
    """The sum is always zero, its constant is not."""
    found = scales_of(lambda x: F.relu(x - 100.0))
    assert 100.0 / 255 / found["aten.relu.default"].scale < MOST_RATIO


def test_zero_is_always_exact():
    for affine in scales_of(lambda x, c: c(x) + x, nn.Conv2d(4, 4, 1)).values():
        assert fake_quantize(torch.zeros(1), affine) == 0.0
        assert -128 <= affine.zero_point <= 127


def test_a_value_that_is_always_zero_has_a_scale():
    found = scales_of(lambda x, c: F.relu(c(x)) * 0.0 + x, nn.Conv2d(4, 4, 1))
    assert all(affine.scale > 0 for affine in found.values())


def test_the_largest_weight_of_each_channel_is_127():
    weight = torch.tensor([[0.5, -1.27], [0.1, 0.0]])
    assert weight_scales(weight, None, 0.1) == pytest.approx([0.01, 0.1 / 127])


def test_a_large_bias_on_tiny_weights_still_fits_its_integers():
    scale = weight_scales(torch.full((1, 3), 1e-9), torch.tensor([5.0]), 0.02)
    assert 5.0 / (0.02 * float(scale)) <= MOST_BIAS * 1.001


def test_operands_of_a_sum_are_within_what_the_kernels_take():
    found = scales_of(lambda x, c: c(x * 1e-4) * 1e-3 + x, nn.Conv2d(4, 4, 1, bias=False))
    assert found["aten.mul.Tensor"].scale / found["aten.add.Tensor"].scale >= LEAST_RATIO
