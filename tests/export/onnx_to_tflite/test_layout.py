"""Axis orders: a planned reshape of a permuted value holds what ONNX's reshape holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from export.onnx_to_tflite.layout import (
    NHWC,
    is_same_memory,
    permutation,
    physical_shape,
    plan_reshape,
)


@st.composite
def reshapes(draw):
    """Two shapes of the same factors, grouped differently, and an order of the first."""
    factors = draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=5))

    def grouped():
        shape, cuts = (
            [],
            draw(st.lists(st.booleans(), min_size=len(factors), max_size=len(factors))),
        )
        for factor, cut in zip(factors, cuts, strict=True):
            if cut or not shape:
                shape.append(factor)
            else:
                shape[-1] *= factor
        return tuple(shape)

    shape, new_shape = grouped(), grouped()
    order = tuple(draw(st.permutations(range(len(shape)))))
    return shape, new_shape, order


@settings(max_examples=300, deadline=None)
@given(case=reshapes(), prefer_nhwc=st.booleans())
def test_planned_reshape_equals_onnx(case, prefer_nhwc):
    shape, new_shape, order = case
    logical = np.arange(np.prod(shape)).reshape(shape)
    plan = plan_reshape(shape, order, new_shape, prefer_nhwc=prefer_nhwc)
    stored = logical.transpose(order).transpose(permutation(order, plan.source))
    result = stored.reshape(physical_shape(new_shape, plan.target))
    np.testing.assert_array_equal(result, logical.reshape(new_shape).transpose(plan.target))


def test_heads_are_split_off_without_a_transpose():
    plan = plan_reshape((1, 8, 4, 4), NHWC, (1, 2, 4, 16), prefer_nhwc=False)
    assert plan.source == NHWC
    assert plan.target == (0, 3, 1, 2)


def test_torn_axes_need_a_transpose():
    plan = plan_reshape((1, 8, 4, 4), NHWC, (1, 128), prefer_nhwc=False)
    assert plan.source != NHWC


def test_only_axes_of_size_one_may_move_freely():
    assert is_same_memory((1, 8, 1, 1), (0, 1, 2, 3), NHWC)
    assert not is_same_memory((1, 8, 2, 1), (0, 1, 2, 3), NHWC)
