"""Einsum as transposes, sums, products and matrix products, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from export.onnx_to_tflite import inspect
from pfd_models.errors import UnsupportedOperatorError

SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "e": 6, "h": 2, "n": 7}


def einsum_model(tools, equation, constant=None):
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    names = ["x", "z", "w"][: len(terms)]
    shapes = {n: [SIZES[label] for label in t] for n, t in zip(names, terms, strict=True)}
    constants = {}
    if constant is not None:
        shape = shapes.pop(constant)
        constants[constant] = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    node = helper.make_node("Einsum", names, ["y"], equation=equation)
    return tools.make_model([node], shapes, constants)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize(
    "equation",
    [
        "bhdn,bhen->bhde",  # keys and values of linear attention
        "bhdn,bhd->bhn",
        "bhdn,bhde->bhen",
        "ab,bc->ac",
        "ab,cb->ca",
        "abc,abd->acd",
        "abc,bc->abc",  # a product with broadcasting
        "ab,cd->abcd",  # an outer product
        "abcd->dbca",
        "abcd->bd",
        "abcd->",
        "abc,bd",  # the result's labels are implied
        "ab,bc,cd->ad",
        "abn,cbe,ce->na",
    ],
)
def test_it_is_what_onnxruntime_has_and_delegated(tools, equation, layout):
    conversion = tools.check(einsum_model(tools, equation), layout)
    assert inspect(conversion.data).leftovers == {}


@pytest.mark.parametrize("equation", ["abc,cd->abd", "abc,dc->abd", "abc,da->bdc"])
def test_constant_weights_make_a_fully_connected_layer(tools, equation):
    conversion = tools.check(einsum_model(tools, equation, constant="z"))
    assert conversion.ops["FULLY_CONNECTED"] == 1
    assert "BATCH_MATMUL" not in conversion.ops


def test_an_ellipsis_stands_for_any_axes(tools):
    node = helper.make_node("Einsum", ["x", "z"], ["y"], equation="...ij,...jk->...ik")
    tools.check(tools.make_model([node], {"x": [2, 3, 4, 5], "z": [2, 3, 5, 6]}))


def test_attention_over_heads_needs_no_transpose_where_labels_lie_in_order(tools):
    conversion = tools.check(einsum_model(tools, "bhnd,bhed->bhne"), "nchw")
    assert "TRANSPOSE" not in conversion.ops


def test_a_diagonal_is_refused(tools):
    with pytest.raises(UnsupportedOperatorError, match="a label stands twice"):
        tools.convert(einsum_model(tools, "aa->a"))
