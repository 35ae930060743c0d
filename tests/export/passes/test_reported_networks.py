"""Constructs of other people's networks that a report, or a trial, was about."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.formats import WriteOptions, pte
from export.graph.aliasing import owns_memory
from export.graph.program import capture
from export.passes import (
    concatenate_pads,
    concatenate_repeats,
    decompose_attention,
    decompose_nearest,
    decompose_prelu,
    max_rewrite_error,
    pad_average_pools,
    pool_maxima,
    reduce_by_product,
    run_passes,
    unroll_recurrence,
)


def rewritten(module, *inputs, passes=None):
    """Run passes; how often each fired, and how far the result is from the original."""
    program = capture(module, inputs)
    after = run_passes(program) if passes is None else run_passes(program, passes)
    fired = {r.name: r.rewrites for r in after.passes if r.rewrites}
    return fired, max_rewrite_error(program, after, [inputs])


# ---- constants that are views of something larger ----


class Packed(nn.Module):
    """Two weights in one parameter, as in a multi-head attention's projection."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 6))

    def forward(self, x):
        return F.linear(x, self.weight[5:])


class Views(nn.Module):
    """A parameter and a buffer that begin inside another tensor, and one with other strides."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.linear.weight = nn.Parameter(torch.randn(12, 6)[6:])
        self.register_buffer("scale", torch.randn(4, 6)[2:3])
        self.shift = torch.randn(6, 2).t()[1:]

    def forward(self, x):
        return self.linear(x) * self.scale + self.shift


def test_the_second_half_of_a_packed_weight_is_not_written_as_the_first(rig):
    outcome = rig.delegated(Packed(), torch.randn(3, 6))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


@pytest.mark.parametrize(
    "module",
    [
        Packed(),
        Views(),
        nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
    ],
    ids=["a slice in forward", "views as state", "a decoder's attention"],
)
def test_every_constant_owns_its_memory_after_the_passes(module):
    inputs = [torch.randn(1, 3, 6)]
    if isinstance(module, nn.TransformerDecoderLayer):
        inputs = [torch.randn(1, 3, 8), torch.randn(1, 5, 8)]
    program = capture(module, tuple(inputs))
    after = run_passes(program)
    constants = {**after.exported.state_dict, **after.exported.constants}
    assert constants
    assert [name for name, tensor in constants.items() if not owns_memory(tensor)] == []
    assert max_rewrite_error(program, after, [inputs]) < 1e-5


# ---- moving values about ----


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize(
    ("size", "to"),
    [((7,), (13,)), ((13, 17), (25, 33)), ((3, 4), (7, 4)), ((10, 6), (17, 4)), ((5, 5), (15, 10))],
    ids=str,
)
def test_nearest_resizing_to_a_size_is_bit_equal(rig, mode, size, to):
    module = rig.call(lambda x: F.interpolate(x, size=to, mode=mode) * 1.0)
    fired, error = rewritten(module, torch.randn(1, 4, *size), passes=(decompose_nearest,))
    assert (fired, error) == ({"decompose_nearest": 1}, 0.0)


def test_nearest_resizing_by_a_factor_is_bit_equal(rig):
    for factor in (3, 1.7, (2.5, 0.5)):
        module = rig.call(lambda x, factor=factor: F.interpolate(x, scale_factor=factor))
        fired, error = rewritten(module, torch.randn(1, 4, 6, 8), passes=(decompose_nearest,))
        assert (fired, error) == ({"decompose_nearest": 1}, 0.0)


def test_a_feature_pyramid_at_odd_sizes_is_one_delegate(rig):
    def pyramid(x):
        fine, coarse = x[:, :4], F.max_pool2d(x, 3, 2, 1)[:, 4:]
        return fine + F.interpolate(coarse, size=fine.shape[2:], mode="nearest")

    outcome = rig.delegated(pyramid, torch.randn(1, 8, 13, 17))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


def test_concatenations_of_one_and_of_many_are_one_delegate(rig):
    """A dense block begins with a concatenation of one tensor and ends with one of all."""

    def dense(x):
        maps = [x]
        for i in range(6):
            maps.append(F.relu(torch.cat(maps, 1)[:, -4:] * (i + 1.0)))
        return torch.cat(maps, 1)

    outcome = rig.delegated(dense, torch.randn(1, 4, 6, 6))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


def test_pads_and_repeats_that_do_nothing_are_no_error(rig):
    for function in (
        lambda x: F.pad(x, []) + 1.0,
        lambda x: x.repeat(1, 1, 1) * x.repeat_interleave(1, 2),
        lambda x: torch.cat([x, x.repeat(0, 1, 1), x.repeat_interleave(0, 0)]),
    ):
        _, error = rewritten(rig.call(function), torch.randn(2, 3, 4))
        assert error == 0.0
    passes = (concatenate_pads, concatenate_repeats)
    assert rewritten(rig.call(lambda x: F.pad(x, [])), torch.randn(2, 3), passes=passes)[1] == 0.0


def test_a_network_never_returns_its_own_input(rig):
    for function in (
        lambda x: (x.squeeze(0), x * 2.0),
        lambda x: (x.repeat(1, 1, 1), x * 2.0),
        lambda x: (F.interpolate(x, size=4), x * 2.0),
        lambda x: (x + 0.0, x.flatten(0, 0)),
    ):
        program = capture(rig.call(function), (torch.randn(2, 3, 4),))
        after = run_passes(program)
        returned = next(n for n in after.exported.graph.nodes if n.op == "output").args[0]
        assert [n.op for n in returned] == ["call_function"] * 2
        assert max_rewrite_error(program, after, [program.example]) == 0.0


# ---- activations and pools ----


@pytest.mark.parametrize("shape", [(2, 6), (6,), (2, 6, 5), (1, 6, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("slopes", [1, 6])
def test_prelu_of_every_rank_is_bit_equal(shape, slopes):
    if len(shape) == 1 and slopes > 1:
        shape = (1, 6)
    module = nn.PReLU(slopes)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(-0.5, 1.5, slopes))
    fired, error = rewritten(module, torch.randn(shape), passes=(decompose_prelu,))
    assert (fired, error) == ({"decompose_prelu": 1}, 0.0)


def test_prelu_after_a_linear_layer_is_delegated(rig):
    outcome = rig.delegated(nn.Sequential(nn.Linear(6, 6), nn.PReLU(6)), torch.randn(2, 6))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


def test_rrelu_is_a_leaky_relu(rig):
    outcome = rig.delegated(nn.RReLU(0.1, 0.3), torch.randn(1, 4, 6, 6))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


def test_an_average_with_a_divisor_of_its_own_is_delegated(rig):
    def pool(x):
        return F.avg_pool2d(x, (3, 2), 2, padding=1, divisor_override=4)

    fired, error = rewritten(rig.call(pool), torch.randn(1, 4, 8, 9), passes=(pad_average_pools,))
    assert fired == {"pad_average_pools": 1}
    assert error < 1e-6
    outcome = rig.delegated(pool, torch.randn(1, 4, 8, 9))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


# ---- reductions and products ----


class Reductions(nn.Module):
    """Everything a map of 224 by 224 can be reduced to, as shares of what is added up."""

    def forward(self, x):
        size = x[0, 0].numel()
        return torch.cat([
            x.sum((1, 2, 3)) / size,
            x.flatten(1).sum(1) / size,
            x.sum((2, 3)).flatten() / size,
            x.mean((2, 3), keepdim=True).flatten(),
            torch.linalg.vector_norm(x.flatten(1), dim=1) / size**0.5,
            F.group_norm(x, 1)[0, :, 0, 0] + 9.0,
        ])  # fmt: skip


def test_sums_over_a_large_map_keep_their_digits(rig):
    """One running sum, as in XNNPACK's mean and in a product with one row, is off by 1e-5."""
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    module = Reductions()
    after = run_passes(capture(module, (x,)))
    written = pte.write(after, rig.folder / "sums.pte", WriteOptions())
    (found,) = pte.load(rig.folder / "sums.pte")([x.numpy()])
    exact = module(x.double()).numpy()
    assert (written.delegates, written.leftovers) == (1, ())
    assert abs(found / exact - 1).max() < 1e-6


@pytest.mark.parametrize("dims", [(1, 3), (0, 2), (0, 1, 3), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions_over_dimensions_that_are_no_neighbours(rig, dims, keepdim):
    x = torch.randn(2, 3, 4, 5)
    for function in (
        lambda x: x.mean(dims, keepdim),
        lambda x: x.sum(dims, keepdim),
        lambda x: torch.linalg.vector_norm(x, dim=dims, keepdim=keepdim),
    ):
        fired, error = rewritten(rig.call(function), x, passes=(reduce_by_product,))
        assert fired == {"reduce_by_product": 1}
        assert error < 1e-6
    fired, error = rewritten(rig.call(lambda x: x.amin(dims, keepdim)), x, passes=(pool_maxima,))
    assert (fired, error) == ({"pool_maxima": 1}, 0.0)


def test_a_mean_over_channels_and_columns_is_delegated(rig):
    outcome = rig.delegated(lambda x: x.mean((1, 3)), torch.randn(1, 4, 6, 5))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


def test_products_with_vectors_and_of_two_computed_matrices_are_delegated(rig):
    def function(x):
        rows = x.flatten(1) @ torch.linspace(-1, 1, 12)  # a constant vector
        outer = x[0] @ x[1].t()  # two computed matrices
        return outer @ outer[0] + torch.dot(outer[1], rows[:1].repeat(4)) + outer[2] @ outer

    outcome = rig.delegated(function, torch.randn(2, 4, 3))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


def test_constants_of_every_kind_are_doubles_in_a_double_graph(rig):
    keep = torch.ones(6, 6, dtype=torch.bool).tril()

    def function(x):
        pooled = F.adaptive_avg_pool2d(x, (4, 5)).sum((1, 3), keepdim=True)
        grown = F.interpolate(x, size=(10, 17))[..., :6, :6]
        heads = F.scaled_dot_product_attention(x, x, x, attn_mask=keep)
        normed = F.rms_norm(F.instance_norm(x), (6,)) + F.normalize(x, dim=1)
        return (heads + normed + grown) @ x[:, :1] + pooled.mean() + 1 / (x.std() + 2)

    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    program = capture(rig.call(function), (x,))
    after = run_passes(program)
    assert after.run([x])[0].dtype == torch.float64
    assert max_rewrite_error(program, after, [(x,)]) < 1e-12


# ---- attention ----


def masks():
    keep = torch.ones(4, 4, dtype=torch.bool).tril()
    keep[2] = False
    return {
        "boolean": keep,
        "added": torch.zeros(4, 4).masked_fill(~keep, -math.inf),
        "per head": torch.stack([keep, ~keep]),
    }


@pytest.mark.parametrize("mask", masks().values(), ids=masks())
def test_a_query_that_sees_no_key_gets_zeros(rig, mask):
    module = rig.call(lambda x, m: F.scaled_dot_product_attention(x, x, x, attn_mask=m), m=mask)
    x = torch.randn(1, 2, 4, 3)
    fired, error = rewritten(module, x, passes=(decompose_attention,))
    assert fired == {"decompose_attention": 1}
    assert error < 1e-6  # infinite if a row were not a number


def test_a_scale_of_zero_is_a_scale(rig):
    module = rig.call(lambda x: F.scaled_dot_product_attention(x, x, x, scale=0.0))
    fired, error = rewritten(module, torch.randn(1, 2, 4, 3), passes=(decompose_attention,))
    assert fired == {"decompose_attention": 1}
    assert error < 1e-6


# ---- recurrent layers ----

LAYERS = {
    "GRU": lambda: nn.GRU(4, 5, 2, batch_first=True),
    "GRU both ways": lambda: nn.GRU(4, 5, 2, bidirectional=True),
    "GRU without bias": lambda: nn.GRU(4, 5, bias=False),
    "LSTM": lambda: nn.LSTM(4, 5, 2),
    "LSTM both ways": lambda: nn.LSTM(4, 5, bidirectional=True, batch_first=True),
    "tanh": lambda: nn.RNN(4, 5),
    "relu": lambda: nn.RNN(4, 5, nonlinearity="relu"),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_recurrent_layer_is_unrolled(make):
    fired, error = rewritten(make(), torch.randn(2, 3, 4), passes=(unroll_recurrence,))
    assert fired == {"unroll_recurrence": 1}
    assert error < 1e-6


@pytest.mark.parametrize("cell", [nn.GRUCell, nn.LSTMCell, nn.RNNCell])
def test_a_cell_with_its_state_is_delegated(rig, cell):
    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell(4, 6)

        def forward(self, x, h):
            state = self.cell(x, (h, h * 0.5) if cell is nn.LSTMCell else h)
            return torch.cat(state, 1) if cell is nn.LSTMCell else state * 2.0

    outcome = rig.delegated(Step(), torch.randn(1, 4), torch.randn(1, 6))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-6


def test_a_projection_and_very_many_steps_are_left_alone(monkeypatch):
    monkeypatch.setattr(unroll_recurrence, "MOST_STEPS", 3)
    for module, steps in ((nn.LSTM(4, 5, proj_size=3), 2), (nn.GRU(4, 5), 4)):
        assert rewritten(module, torch.randn(steps, 1, 4), passes=(unroll_recurrence,))[0] == {}


# ---- three networks of docs/other-models.md that were not wholly delegated ----


class SharedKeys(nn.Module):
    """MobileNetV4's multi-query attention: every head reads the same keys and values."""

    def forward(self, x):
        queries = x.flatten(2).unflatten(1, (2, 3)).transpose(2, 3)
        keys = x[:, :3].flatten(2).transpose(1, 2).unsqueeze(1)
        return F.scaled_dot_product_attention(queries, keys, keys)


class ResponseNorm(nn.Module):
    """ConvNeXt V2's global response normalisation, which ends in ``addcmul``."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.randn(1, 6, 1, 1)) for _ in range(2))

    def forward(self, x):
        size = x.norm(p=2, dim=(2, 3), keepdim=True)
        return x + torch.addcmul(self.bias, self.weight, x * (size / (size.mean(1, True) + 1e-6)))


class Subsample(nn.Module):
    """LeViT's sub-sampling of an odd map, channels last."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1)[:, ::2, ::2].flatten(1, 2)


@pytest.mark.parametrize(
    ("module", "fires"),
    [
        (SharedKeys(), "decompose_attention"),
        (ResponseNorm(), "multiply_alpha"),
        (Subsample(), "unstride_slices"),
    ],
)
def test_what_three_networks_left_outside_is_delegated(rig, module, fires):
    done = rig.delegated(module, torch.randn(1, 6, 7, 7))
    assert (done.delegates, done.left) == (1, [])
    assert fires in done.fired
    assert done.error < 1e-5
