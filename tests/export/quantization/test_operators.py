"""Every operator that computes in integers: both host runtimes against the integer reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.export.quantization.conftest import capture_simply


def conv(channels, kernel, **options):
    return nn.Conv2d(channels, 7, kernel, **options)


# By operator: a function of the input and its layers, and the layers for a number of channels.
OPERATORS = {
    "convolution": (lambda x, c: c(x), lambda n: [conv(n, 3, stride=2, padding=1)]),
    "depthwise convolution and relu": (
        lambda x, c: F.relu(c(x)),
        lambda n: [nn.Conv2d(n, n, 3, padding=1, groups=n)],
    ),
    "grouped convolution": (lambda x, c: c(x), lambda n: [nn.Conv2d(n, 2 * n, 1, groups=n)]),
    "linear layer": (lambda x, c: c(x.mean((2, 3))), lambda n: [nn.Linear(n, 9)]),
    "sum and relu6": (
        lambda x, a, b: F.relu6(a(x) + b(x)),
        lambda n: [conv(n, 1), conv(n, 1)],
    ),
    "sum with a number": (lambda x, c: c(x) - 0.5, lambda n: [conv(n, 1)]),
    "product with a gate": (
        lambda x, a, b: a(x) * F.hardsigmoid(b(x.mean((2, 3), keepdim=True))),
        lambda n: [conv(n, 1), conv(n, 1)],
    ),
    "hard-swish": (lambda x, c: F.hardswish(c(x)), lambda n: [conv(n, 1)]),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), lambda n: []),
    "padded maximum": (lambda x, c: F.max_pool2d(c(x), 3, 2, 1), lambda n: [conv(n, 1)]),
    "average": (lambda x: F.avg_pool2d(x, 2), lambda n: []),
    "concatenation and slice": (
        lambda x, c: torch.cat([c(x), x], 1)[:, 1:-1],
        lambda n: [conv(n, 1)],
    ),
    "clamp behind a concatenation": (
        lambda x, c: F.relu(torch.cat([c(x), x], 1)),
        lambda n: [conv(n, 1)],
    ),
    "batch norm of its own": (lambda x, b: F.relu(b(x)), lambda n: [nn.BatchNorm2d(n)]),
}


def check(write_all, name, channels, side):
    function, layers = OPERATORS[name]
    program = capture_simply(function, (1, channels, side, side), *layers(channels))
    files = write_all(program)
    for kind in ("pte", "tflite"):
        assert np.array_equal(files.outputs[kind], files.reference), kind
        assert (files.delegates[kind], files.left[kind]) == (1, []), kind
    assert not files.quantized.kept_float


@pytest.mark.parametrize("name", OPERATORS)
def test_both_runtimes_compute_what_the_integer_reference_computes(write_all, name):
    check(write_all, name, channels=5, side=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(channels=st.integers(2, 40), side=st.integers(4, 15))
def test_they_do_for_any_shape(write_all, name, channels, side):
    check(write_all, name, channels, side)
