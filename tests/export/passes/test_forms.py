"""Forms of one rewrite that a single row cannot show: shapes, directions, fallbacks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from export.graph.program import capture
from export.passes import (
    concatenate_pads,
    decompose_adaptive_pools,
    decompose_attention,
    flatten_softmax,
    functionalize_mutations,
    max_rewrite_error,
    reduce_by_product,
    run_passes,
    unstride_slices,
)


def rewritten(rig, function, *inputs, passes):
    program = capture(rig.call(function), inputs)
    after = run_passes(program, passes)
    return sum(r.rewrites for r in after.passes), max_rewrite_error(program, after, [inputs])


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("reduce", ["mean", "sum", "norm"])
def test_reductions_over_each_dimension(rig, reduce, dim, keepdim):
    def function(x):
        if reduce == "norm":
            return torch.linalg.vector_norm(x, dim=dim, keepdim=keepdim)
        return getattr(x, reduce)(dim, keepdim)

    fired, error = rewritten(rig, function, torch.randn(2, 3, 4, 5), passes=(reduce_by_product,))
    assert fired == 1
    assert error < 1e-5


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_softmax_over_each_dimension(rig, dim):
    x = torch.randn(2, 3, 4, 5)
    fired, error = rewritten(rig, lambda x: x.softmax(dim), x, passes=(flatten_softmax,))
    assert fired == 1
    assert error < 1e-6


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("pads", [(1, 0, 0, 2), (3, 2, 1, 1), (0, 0, 0, 1)])
def test_pads_in_each_mode(rig, mode, pads):
    x = torch.randn(1, 3, 6, 7)
    fired, error = rewritten(
        rig, lambda x: F.pad(x, pads, mode=mode), x, passes=(concatenate_pads,)
    )
    assert (fired, error) == (1, 0.0)


def test_wide_reflection_is_left_alone(rig):
    x = torch.randn(1, 1, 20, 20)
    pads = (concatenate_pads.WIDEST + 1,) * 4
    fired, _ = rewritten(
        rig, lambda x: F.pad(x, pads, mode="reflect"), x, passes=(concatenate_pads,)
    )
    assert fired == 0


def test_negative_pad_is_a_crop(rig):
    x = torch.randn(1, 3, 6, 7)
    fired, error = rewritten(rig, lambda x: F.pad(x, (-1, 2, 1, -2)), x, passes=(concatenate_pads,))
    assert (fired, error) == (1, 0.0)


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 9),
    start=st.integers(-9, 8),
    step=st.integers(2, 4),
    dim=st.integers(1, 3),
)
def test_strided_slices_are_bit_equal_or_left_alone(size, start, step, dim):
    shape = [2, 3, 3, 3]
    shape[dim] = size
    x = torch.randn(shape)
    index = tuple(slice(start, None, step) if d == dim else slice(None) for d in range(4))

    class Slice(nn.Module):
        def forward(self, x):
            return x[index] * 1.5

    if x[index].numel() == 0:
        return
    program = capture(Slice(), (x,))
    after = run_passes(program, (unstride_slices,))
    assert max_rewrite_error(program, after, [(x,)]) == 0.0
    if dim >= 2 and x[index].shape != x.shape:
        assert after.passes[0].rewrites <= 1


@pytest.mark.parametrize(("size", "start"), [(7, 0), (8, 1), (1, 0), (4, 3)])
def test_a_last_element_without_a_whole_group_is_joined_to_the_others(rig, size, start):
    x = torch.randn(1, size, 4, 4)
    fired, error = rewritten(rig, lambda x: x[:, start::3] * 2, x, passes=(unstride_slices,))
    assert (fired, error) == (1, 0.0)


@pytest.mark.parametrize("causal", [False, True])
def test_heads_that_share_their_keys_are_rows_of_one_product(rig, causal):
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 1, 7, 4), torch.randn(2, 1, 7, 6)
    for mask in (None, torch.randn(5, 7), torch.randn(1, 1, 5, 7), torch.randn(2, 3, 5, 7)):
        if causal and mask is not None:
            continue
        fired, error = rewritten(
            rig,
            lambda q, k, v, mask=mask: F.scaled_dot_product_attention(
                q, k, v, None if mask is None else mask + 0 * q.sum(), is_causal=causal
            ),
            q, k, v,
            passes=(decompose_attention,),
        )  # fmt: skip
        assert fired == 1
        assert error < 1e-5


def test_keys_that_are_shared_by_images_are_left_alone(rig):
    q, k = torch.randn(2, 3, 5, 4), torch.randn(1, 3, 7, 4)
    fired, _ = rewritten(
        rig,
        lambda q, k: F.scaled_dot_product_attention(q, k, k),
        q, k,
        passes=(decompose_attention,),
    )  # fmt: skip
    assert fired == 0


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12, (3, 5), (1, None)])
def test_adaptive_average_of_each_size(rig, size):
    x = torch.randn(1, 4, 12, 12)
    fired, error = rewritten(rig, nn.AdaptiveAvgPool2d(size), x, passes=(decompose_adaptive_pools,))
    assert fired == 1
    assert error < 1e-6


def test_adaptive_maximum_of_an_odd_size_is_left_alone(rig):
    x = torch.randn(1, 4, 12, 12)
    fired, _ = rewritten(rig, nn.AdaptiveMaxPool2d(5), x, passes=(decompose_adaptive_pools,))
    assert fired == 0


MASKS = {
    "none": {},
    "causal": {"is_causal": True},
    "added": {"attn_mask": torch.randn(6, 6)},
    "boolean": {"attn_mask": torch.ones(6, 6, dtype=torch.bool).tril()},
    "per head": {"attn_mask": torch.randn(2, 3, 6, 6)},
    "per batch": {"attn_mask": torch.randn(2, 1, 6, 6)},
    "scaled": {"scale": 0.3},
}


@pytest.mark.parametrize("how", MASKS.values(), ids=MASKS)
def test_attention_with_each_mask(rig, how):
    options = dict(how)
    mask = options.pop("attn_mask", None)
    tensors = {} if mask is None else {"attn_mask": mask}
    module = rig.call(
        lambda x, **masks: F.scaled_dot_product_attention(x, 2.0 * x, x + 1.0, **options, **masks),
        **tensors,
    )
    x = torch.randn(2, 3, 6, 4)
    program = capture(module, (x,))
    after = run_passes(program, (decompose_attention,))
    assert after.passes[0].rewrites == 1
    assert max_rewrite_error(program, after, [(x,)]) < 1e-5


def test_attention_with_a_computed_boolean_mask_is_left_alone(rig):
    def function(x):
        return F.scaled_dot_product_attention(x, x, x, attn_mask=x @ x.transpose(-1, -2) > -9)

    fired, _ = rewritten(rig, function, torch.randn(1, 2, 5, 4), passes=(decompose_attention,))
    assert fired == 0


def test_a_view_of_written_memory_is_left_to_pytorch(rig):
    """A view made before the write and read after it: moving the write would lose it."""

    def function(x):
        y = x * 2.0
        view = y[:, :2]
        y.add_(1.0)
        return view - 1.0

    x = torch.randn(1, 4, 3, 3)
    fired, error = rewritten(rig, function, x, passes=(functionalize_mutations,))
    assert (fired, error) == (0, 0.0)


def test_views_of_written_memory_made_afterwards_follow(rig):
    def function(x):
        y = (x * 2.0).relu_()
        half = y[:, :2]
        half.add_(1.0)
        return half * y[:, :2]

    x = torch.randn(1, 4, 3, 3)
    program = capture(rig.call(function), (x,))
    after = run_passes(program)
    assert max_rewrite_error(program, after, [(x,)]) == 0.0


def test_writing_into_a_slice_is_a_concatenation(rig):
    def function(x):
        y = x.clone()
        y[:, 1:3] = y[:, 1:3] * 2.0
        return y

    outcome = rig.delegated(function, torch.randn(1, 4, 5, 5))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert "slice_rolls" in outcome.fired


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, 0] @ torch.ones(6, 3),
        lambda x: torch.ones(1, 6, 6) @ x[:, 1],
        lambda x: x @ x[:, :1].transpose(2, 3),
        lambda x: x[:, 0] @ x[0, 1],
    ],
    ids=["by a constant matrix", "constant on the left", "broadcast heads", "by a computed matrix"],
)
def test_products_of_other_ranks_are_delegated(rig, function):
    outcome = rig.delegated(function, torch.randn(1, 4, 6, 6))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-5


def test_multi_head_attention_is_one_delegate(rig):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0]

    outcome = rig.delegated(Attention(), torch.randn(1, 8, 4, 4))
    assert (outcome.delegates, outcome.left) == (1, [])
    assert outcome.error < 1e-5


def test_a_program_that_needs_nothing_is_not_exported_again():
    program = capture(nn.Conv2d(3, 4, 1), (torch.randn(1, 3, 8, 8),))
    assert run_passes(program).exported is program.exported


def test_weights_that_no_node_reads_any_more_are_dropped():
    class Transposed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 6))

        def forward(self, x):
            return x @ self.weight.t()

    after = run_passes(capture(Transposed(), (torch.randn(2, 6),)))
    assert [tuple(t.shape) for t in after.exported.state_dict.values()] == [(6, 4)]


def test_a_wrong_rewrite_is_measured_as_one():
    x = torch.randn(1, 3, 8, 8)
    right, wrong = (capture(nn.ReLU(), (x,)), capture(nn.LeakyReLU(0.1), (x,)))
    assert max_rewrite_error(right, right, [(x,)]) == 0.0
    assert max_rewrite_error(right, wrong, [(x,)]) > 1e-2
    assert max_rewrite_error(right, capture(rig_nan(), (x,)), [(x,)]) == float("inf")


def rig_nan():
    class Poison(nn.Module):
        def forward(self, x):
            return x * float("nan")

    return Poison()
