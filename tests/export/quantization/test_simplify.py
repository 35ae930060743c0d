"""Each rewrite before quantisation: it fires, computes the same, and leaves alone what it must."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.passes import max_rewrite_error, run_passes
from export.quantization.quantize import quantize
from export.quantization.simplify import (
    PASSES,
    convolve_averages,
    convolve_batch_norms,
    fold_shifts,
    multiply_divisions,
    push_factors,
    push_norms_into_sums,
    use_constant_operands,
)
from tests.export.quantization.conftest import capture_simply, noise

SHAPE = (1, 6, 8, 8)


def simplify(function, *layers, passes=PASSES):
    before = capture_simply(function, SHAPE, *layers)
    after = run_passes(before, passes)
    fired = {p.name: p.rewrites for p in after.passes[len(before.passes) :]}
    calls = Counter(
        str(n.target).removeprefix("aten.")
        for n in after.module().graph.nodes
        if n.op == "call_function"
    )
    assert max_rewrite_error(before, after, noise(SHAPE, 4)) < 2e-5
    return fired, calls


def norm(channels):
    layer = nn.BatchNorm2d(channels)
    torch.nn.init.uniform_(layer.running_mean, -1, 1)
    torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    return layer


def test_a_sixth_of_hard_sigmoid_goes_through_a_gate_into_the_next_convolutions():
    def block(x, first, down, up, last):
        h = F.hardswish(first(x))
        return last(h * F.hardsigmoid(up(F.relu(down(h.mean((2, 3), keepdim=True))))))

    layers = [nn.Conv2d(6, 8, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 5, 1)]
    fired, calls = simplify(block, *layers)
    assert (fired["multiply_divisions"], fired["push_factors"]) == (1, 1)
    assert fired["fold_shifts"] == 1  # the gate's three, in its convolution's bias
    assert (calls["mul.Tensor"], calls["add.Tensor"]) == (1, 0)  # h times its gate


def test_a_factor_stays_where_a_sum_reads_it():
    fired, calls = simplify(lambda x, c: c(x) / 6 + x, nn.Conv2d(6, 6, 1))
    assert fired["push_factors"] == 0
    assert calls["mul.Tensor"] == 1


def test_a_factor_that_both_operands_of_a_product_hold_is_squared():
    def block(x, first, last):
        scaled = first(x) * 0.25
        return last(scaled * scaled.mean((2, 3), keepdim=True))

    layers = (nn.Conv2d(6, 8, 1), nn.Conv2d(8, 5, 1))
    fired, _ = simplify(block, *layers, passes=(push_factors,))
    assert fired["push_factors"] == 1


@pytest.mark.parametrize(("number", "pushed"), [(0.0, 1), (3.0, 0)])
def test_a_factor_passes_a_border_of_zeros_only(number, pushed):
    def block(x, first, last):
        return last(F.pad(first(x) / 6, (1, 1, 1, 1), value=number))

    layers = (nn.Conv2d(6, 8, 1), nn.Conv2d(8, 5, 3))
    fired, _ = simplify(block, *layers)
    assert fired["push_factors"] == pushed


def test_a_norm_goes_into_an_unpadded_convolution_behind_it():
    fired, calls = simplify(lambda x, b, c: c(b(x)), norm(6), nn.Conv2d(6, 6, 3, groups=3))
    assert (fired["convolve_batch_norms"], calls["conv2d.default"]) == (1, 1)


def test_a_norm_before_padding_becomes_a_convolution_of_its_own():
    layers = (norm(6), nn.Conv2d(6, 4, 3, padding=1))
    fired, calls = simplify(lambda x, b, c: c(b(x)), *layers, passes=(convolve_batch_norms,))
    assert (fired["convolve_batch_norms"], calls["conv2d.default"]) == (1, 2)


@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 1}])
def test_an_average_becomes_a_convolution(options):
    fired, _ = simplify(lambda x: F.avg_pool2d(x, 3, **options), passes=(convolve_averages,))
    assert fired["convolve_averages"] == 1


def test_an_average_that_leaves_padding_out_of_its_divisor_stays():
    function = lambda x: F.avg_pool2d(x, 3, padding=1, count_include_pad=False)  # noqa: E731
    fired, _ = simplify(function, passes=(convolve_averages,))
    assert fired["convolve_averages"] == 0


def test_a_shift_stays_where_the_convolution_has_another_reader():
    def block(x, c):
        y = c(x)
        return y * F.relu(y + 3.0)

    fired, _ = simplify(block, nn.Conv2d(6, 6, 1), passes=(fold_shifts,))
    assert fired["fold_shifts"] == 0


def test_a_clamp_that_no_operator_computes_for_becomes_a_sum_with_zero():
    def block(x, c):
        y = c(x)
        return F.relu(torch.cat([y, x], 1)), F.relu(y)

    fired, calls = simplify(block, nn.Conv2d(6, 6, 1), passes=(use_constant_operands,))
    assert fired["use_constant_operands"] == 2
    assert calls["add.Tensor"] == 2


@pytest.mark.parametrize(
    ("options", "pads"),
    [
        ({"padding": "valid"}, 0),
        ({"padding": "same"}, 0),
        ({"padding": "same", "dilation": (3, 1)}, 0),
        ({"padding": "same", "kernel_size": (4, 3)}, 1),  # one row more below
        ({"padding": "same", "kernel_size": (5, 2), "dilation": 3, "bias": False}, 1),
    ],
)
def test_a_convolution_padded_by_a_word_computes_in_integers(options, pads):
    layer = nn.Conv2d(6, 4, **{"kernel_size": 3, **options})
    fired, calls = simplify(lambda x, c: F.relu(c(x)), layer)
    assert fired["count_same_padding"] == 1
    assert (calls["conv2d.default"], calls["pad.default"]) == (1, pads)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1, "groups": 2}, {"padding": "same", "dilation": 2}]
)
def test_a_convolution_of_signals_becomes_one_of_images_with_its_clamp(options):
    fired, calls = simplify(
        lambda x, c, d: F.relu(c(x.flatten(2))) + F.relu6(d(x.flatten(2)).clamp(max=4)),
        nn.Conv1d(6, 4, 3, **options),
        nn.Conv1d(6, 4, 3, **options),
    )
    assert fired["widen_convolutions"] == 2
    assert (calls["conv2d.default"], calls["conv1d.default"]) == (2, 0)
    assert fired["use_constant_operands"] == 1  # for the second clamp of one convolution


def test_a_signal_without_a_batch_is_one_image():
    fired, calls = simplify(lambda x, c: c(x[0].flatten(1)), nn.Conv1d(6, 4, 3))
    assert (fired["widen_convolutions"], calls["conv2d.default"]) == (1, 1)


def test_a_convolution_with_computed_weights_stays_one_of_signals():
    fired, _ = simplify(
        lambda x, c: F.conv1d(x.flatten(2), c.weight * x.mean()), nn.Conv1d(6, 4, 3)
    )
    assert fired["widen_convolutions"] == 0


@pytest.mark.parametrize(
    ("function", "apart"),
    [
        (lambda x, c, d: torch.cat([F.relu(c(x)), d(x)], 1), 1),
        (lambda x, c, d: torch.cat([F.relu6(c(x)), F.relu(d(x))], 1), 1),  # the ReLU6 alone
        (lambda x, c, d: torch.cat([F.max_pool2d(F.relu(c(x)), 2), x[:, :, :4, :4]], 1), 1),
        (lambda x, c, d: torch.cat([F.relu(c(x)), F.relu(d(x))], 1), 0),
        (lambda x, c, d: (lambda y: torch.cat([y, F.avg_pool2d(y, 3, 1, 1)], 1))(F.relu(c(x))), 0),
        (lambda x, c, d: F.max_pool2d(F.relu(c(x)), 3).flatten(1), 0),
        (lambda x, c, d: F.relu(c(x)) + d(x), 0),
    ],
)
def test_a_clamp_that_meets_values_beyond_its_limits_keeps_a_scale_of_its_own(function, apart):
    fired, _ = simplify(function, nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1))
    assert fired["keep_clamps_apart"] == apart


def test_nothing_happens_to_a_network_that_is_simple_already():
    fired, _ = simplify(lambda x, c: F.relu(c(x)) + x, nn.Conv2d(6, 6, 1))
    assert not any(fired.values())


def test_a_border_that_is_the_same_on_both_sides_goes_into_its_convolutions():
    def block(x, a, b):
        padded = F.pad(x, (2, 2, 1, 1))
        return a(padded), b(padded)

    layers = (nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(6, 4, 5, stride=2))
    fired, calls = simplify(block, *layers)
    assert (fired["fold_pads"], calls["pad.default"]) == (1, 0)


@pytest.mark.parametrize("border", [(0, 1, 0, 1), (1, 1, 1, 0)])
def test_a_border_on_one_side_stays(border):
    fired, _ = simplify(lambda x, c: c(F.pad(x, border)), nn.Conv2d(6, 4, 3))
    assert fired["fold_pads"] == 0


def test_a_border_that_a_sum_reads_too_stays():
    def block(x, c):
        padded = F.pad(x, (1, 1, 1, 1))
        return c(padded).mean() + padded

    fired, _ = simplify(block, nn.Conv2d(6, 4, 3))
    assert fired["fold_pads"] == 0


def test_a_norm_of_a_sum_goes_into_the_convolution_in_front_and_beside_it():
    fired, calls = simplify(
        lambda x, b, c: b(c(x) + F.max_pool2d(x, 3, 1, 1)), norm(6), nn.Conv2d(6, 6, 3, padding=1)
    )
    assert fired["push_norms_into_sums"] == 1
    assert (calls["batch_norm.default"], calls["conv2d.default"], calls["add.Tensor"]) == (0, 2, 1)


def test_a_norm_of_two_convolutions_goes_into_both():
    layers = norm(5), nn.Conv2d(6, 5, 1), nn.Conv2d(6, 5, 1, bias=False)
    fired, calls = simplify(lambda x, b, c, d: b(c(x) + d(x)), *layers)
    assert (fired["push_norms_into_sums"], calls["conv2d.default"]) == (1, 2)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, b, c: b(x + F.relu(x)),  # no convolution
        lambda x, b, c: b(c(x) + x.mean((2, 3), keepdim=True)),  # of another shape
        lambda x, b, c: b(c(x) + 1.5),
        lambda x, b, c: (lambda total: b(total) + total)(c(x) + x),  # others read the sum
    ],
)
def test_another_norm_of_a_sum_stays_behind_it(function):
    fired, _ = simplify(function, norm(6), nn.Conv2d(6, 6, 1), passes=(push_norms_into_sums,))
    assert fired["push_norms_into_sums"] == 0


def test_channels_of_other_ranges_are_kept_apart_by_a_norm_behind_a_sum():
    """One channel of the sum is a thousand times the others, until its norm makes them alike."""
    layers = norm(6), nn.Conv2d(6, 6, 1, groups=6), nn.Conv2d(6, 5, 1)
    program = capture_simply(lambda x, b, c, d: d(b(c(x) + F.relu(x))), SHAPE, *layers)
    state = program.exported.state_dict
    state["layers.1.weight"].data[0] = 3000.0
    state["layers.0.running_var"].data[0] = 9e6
    held = noise(SHAPE, 4, seed=1)
    quantized = quantize(program, noise(SHAPE, 8))
    pairs = [(program.run(x)[0], quantized.program.run(x)[0]) for x in held]
    lost = sum(float((a - b).square().sum()) for a, b in pairs)
    assert lost < 0.003 * sum(float(a.square().sum()) for a, _ in pairs)


def test_a_division_by_a_number_becomes_a_product():
    fired, calls = simplify(lambda x: x / 6 - x / (x.abs() + 1), passes=(multiply_divisions,))
    assert fired["multiply_divisions"] == 1
    assert calls["mul.Tensor"] == 1


def test_a_shuffle_that_asks_for_contiguous_memory_stays_in_integers(write_all):
    """torchvision writes it so; each copy was one in float, and the files were not bit-equal."""

    def shuffle(x, conv):
        x = conv(x).view(1, 2, 4, 8, 8)
        return torch.transpose(x, 1, 2).contiguous().view(1, 8, 8, 8)

    fired, calls = simplify(shuffle, conv := nn.Conv2d(6, 8, 1))
    assert fired["drop_copies"] == 1
    assert "contiguous.default" not in calls
    files = write_all(capture_simply(shuffle, SHAPE, conv))
    assert files.quantized.kept_float == ()
    for name in ("pte", "tflite"):
        assert (files.delegates[name], files.left[name]) == (1, []), name
        assert np.array_equal(files.outputs[name], files.reference), name


def test_a_copy_of_the_input_that_is_returned_stays():
    fired, calls = simplify(lambda x: (x.clone(memory_format=torch.channels_last),))
    assert (fired["drop_copies"], calls["clone.default"]) == (0, 1)


def test_of_two_copies_of_the_input_that_is_returned_one_stays():
    fired, calls = simplify(lambda x: (x.clone(memory_format=torch.channels_last).contiguous(),))
    assert fired["drop_copies"] == 1
    assert calls["clone.default"] + calls["contiguous.default"] == 1
