"""Activations written as several nodes become one, in any association, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from pfd_models.errors import UnsupportedOperatorError


def node(op_type, inputs, outputs, **attrs):
    return helper.make_node(op_type, list(inputs), list(outputs), **attrs)


CONSTANTS = {
    name: np.array(value, np.float32)
    for name, value in {
        "zero": 0,
        "half": 0.5,
        "one": 1,
        "three": 3,
        "six": 6,
        "sixth": 1 / 6,
        "root": 2**0.5,
        "root_half": 0.5**0.5,
    }.items()
}
ERF = [
    node("Div", ["x", "root"], ["a"]),
    node("Erf", ["a"], ["b"]),
    node("Add", ["b", "one"], ["c"]),
]
GELUS = {
    "x (1 + erf) half": [node("Mul", ["x", "c"], ["d"]), node("Mul", ["d", "half"], ["y"])],
    "(x half) (1 + erf)": [node("Mul", ["half", "x"], ["d"]), node("Mul", ["d", "c"], ["y"])],
    "half (1 + erf) x": [node("Mul", ["c", "half"], ["d"]), node("Mul", ["d", "x"], ["y"])],
}
CLIP = [node("Add", ["three", "x"], ["a"]), node("Clip", ["a", "zero", "six"], ["c"])]
SWISHES = {
    "x clip / 6": [node("Mul", ["x", "c"], ["d"]), node("Div", ["d", "six"], ["y"])],
    "clip / 6 x": [node("Div", ["c", "six"], ["d"]), node("Mul", ["d", "x"], ["y"])],
    "x (clip sixth)": [node("Mul", ["c", "sixth"], ["d"]), node("Mul", ["x", "d"], ["y"])],
}


@pytest.mark.parametrize("tail", GELUS.values(), ids=GELUS)
def test_gelu(tools, tail):
    model = tools.make_model([*ERF, *tail], {"x": [3, 40]}, CONSTANTS)
    assert tools.check(model).ops == {"GELU": 1}


def test_gelu_by_a_product(tools):
    first = node("Mul", ["root_half", "x"], ["a"])
    model = tools.make_model(
        [first, *ERF[1:], *GELUS["half (1 + erf) x"]], {"x": [3, 40]}, CONSTANTS
    )
    assert tools.check(model).ops == {"GELU": 1}


@pytest.mark.parametrize("tail", SWISHES.values(), ids=SWISHES)
def test_hard_swish(tools, tail):
    model = tools.make_model([*CLIP, *tail], {"x": [3, 40]}, CONSTANTS)
    assert tools.check(model).ops == {"HARD_SWISH": 1}


@pytest.mark.parametrize(
    "tail",
    [
        [node("Mul", ["x", "c"], ["d"]), node("Mul", ["d", "six"], ["y"])],  # another factor
        [node("Div", ["six", "c"], ["d"]), node("Mul", ["d", "x"], ["y"])],  # the inverse
        [node("Mul", ["c", "sixth"], ["y"])],  # a hard-sigmoid
        [node("Mul", ["c", "c"], ["d"]), node("Mul", ["d", "sixth"], ["y"])],  # without x
    ],
)
def test_what_looks_like_a_hard_swish_but_is_none(tools, tail):
    def above(model, seed):
        return {"x": np.abs(tools.seeded(model, seed)["x"])}  # 6 / clip stays finite

    model = tools.make_model([*CLIP, *tail], {"x": [3, 40]}, CONSTANTS)
    assert "HARD_SWISH" not in tools.check(model, make_feeds=above).ops


def test_a_hard_swish_whose_clip_is_an_output_stays_in_parts(tools):
    model = tools.make_model([*CLIP, *SWISHES["x clip / 6"]], {"x": [3, 40]}, CONSTANTS, ("y", "c"))
    assert "HARD_SWISH" not in tools.check(model).ops


@pytest.mark.parametrize(
    "tail",
    [
        [node("Mul", ["x", "c"], ["y"])],
        [node("Identity", ["b"], ["y"])],
    ],
)
def test_an_erf_that_is_no_gelu_is_refused(tools, tail):
    model = tools.make_model([*ERF, *tail], {"x": [3, 40]}, CONSTANTS)
    with pytest.raises(UnsupportedOperatorError, match=r"Erf.*no lowering"):
        tools.convert(model)


SHRINK = [
    node("Abs", ["x"], ["a"]),
    node("Greater", ["a", "half"], ["above"]),
    node("Sign", ["x"], ["s"]),
    node("Mul", ["s", "half"], ["m"]),
    node("Sub", ["x", "m"], ["outside"]),
    node("Mul", ["x", "zero"], ["inside"]),
    node("Where", ["above", "outside", "inside"], ["y"]),
]


def test_soft_shrinkage_needs_no_comparison(tools):
    model = tools.make_model(SHRINK, {"x": [3, 40]}, CONSTANTS)
    assert tools.check(model).ops == {"MAXIMUM": 1, "MINIMUM": 1, "SUB": 1}


@pytest.mark.parametrize(("place", "name"), [(3, "one"), (1, "one"), (5, "half")])
def test_what_is_almost_soft_shrinkage_stays_in_parts(tools, place, name):
    nodes = list(SHRINK)
    old = nodes[place]
    nodes[place] = node(old.op_type, [old.input[0], name], old.output)
    assert "SELECT_V2" in tools.check(tools.make_model(nodes, {"x": [3, 40]}, CONSTANTS)).ops
