"""The gate of int8 files: what it lets through, and the one bit that it does not."""

from __future__ import annotations

import numpy as np
import pytest

from export.quantization.agreement import STEPS_ELSEWHERE, hold_to_reference
from pfd_models.errors import ParityError

STEP = 0.5


@pytest.fixture
def outputs():
    """Four samples of ten whole steps, and the float network's, up to half a step away."""
    generator = np.random.default_rng(0)
    whole = [[generator.integers(-100, 100, (1, 10)) * STEP] for _ in range(4)]
    exact = [[w[0] + generator.uniform(-STEP / 2, STEP / 2, (1, 10))] for w in whole]
    return whole, exact


def shifted(samples, by):
    moved = [[array.copy() for array in sample] for sample in samples]
    moved[2][0][0, 3] += by
    return moved


def test_equal_bits_pass_and_leave_a_device_two_steps(outputs):
    whole, exact = outputs
    parity = hold_to_reference(whole, whole, exact, [STEP], what="file", to_the_bit=True)
    assert parity.relative_linf == 0.0
    size = max(np.abs(sample[0]).max() for sample in whole)
    assert parity.limit == pytest.approx(STEPS_ELSEWHERE * STEP / size)


def test_one_step_in_one_value_is_caught_where_bits_must_be_equal(outputs):
    whole, exact = outputs
    with pytest.raises(
        ParityError, match=r"file .* 1 of 40 values of output 0 differ, by 5\.00e-01"
    ):
        hold_to_reference(whole, shifted(whole, STEP), exact, [STEP], what="file", to_the_bit=True)


def test_one_step_in_one_value_passes_where_runtimes_round_otherwise(outputs):
    whole, exact = outputs
    parity = hold_to_reference(
        whole, shifted(whole, STEP), exact, [STEP], what="file", to_the_bit=False
    )
    assert parity.limit > parity.relative_linf > 0.0


def test_a_reference_that_is_itself_wrong_lets_nothing_pass(outputs):
    whole, exact = outputs
    wrong = [[array - 40 * STEP for array in sample] for sample in whole]
    with pytest.raises(ParityError, match="on average"):
        hold_to_reference(wrong, whole, exact, [STEP], what="file", to_the_bit=False)


def test_more_than_quantisation_itself_costs_is_caught(outputs):
    whole, exact = outputs
    with pytest.raises(ParityError, match="on average"):
        hold_to_reference(
            whole, shifted(whole, 20 * STEP), exact, [STEP], what="file", to_the_bit=False
        )


@pytest.mark.parametrize("wrong", [np.zeros((1, 9)), np.full((1, 10), np.nan)])
def test_another_shape_or_no_number_is_caught(outputs, wrong):
    whole, exact = outputs
    with pytest.raises(ParityError, match="not finite"):
        hold_to_reference(whole, [[wrong]] * 4, exact, [STEP], what="file", to_the_bit=False)
