"""Keep as many layers in float as a limit needs, chosen on other samples than are reported on."""

from __future__ import annotations

import dataclasses

import pytest
from torch import nn

from export.quantization import loss_limit
from export.quantization.calibration import CalibrationData
from export.quantization.loss_limit import choose_float_layers
from pfd_models.errors import ParityError, SpecError
from tests.export.quantization.conftest import capture_simply, noise

SHAPE = (1, 3, 8, 8)


def chain(x, stem, middle, head):
    return head(middle(stem(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def program():
    """A network that hangs on a value a thousandth as large as those it shares a scale with."""
    layers = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 5)
    made = capture_simply(chain, SHAPE, *layers)
    state = made.exported.state_dict
    stem, bias, middle = (state[f"layers.{n}"].data for n in ("0.weight", "0.bias", "1.weight"))
    stem[1] /= 1000
    bias[1] /= 1000
    middle[:, 1] *= 10_000
    return made


@pytest.fixture(scope="module")
def data():
    return CalibrationData(
        samples=noise(SHAPE, 6), held=noise(SHAPE, 4, seed=1), choosing=noise(SHAPE, 40, seed=2)
    )


def test_nothing_is_kept_where_nothing_is_lost(program, data):
    found = choose_float_layers(program, data, 99.0)
    assert found.layers == ()
    assert found.loss == found.loss_without
    assert (found.samples, found.counts) == (40, "top-1 agreement")


def test_the_least_number_of_the_worst_layers_is_kept():
    losses = [9.0, 6.0, 4.0, 2.0, 0.4, 0.3, 0.0]
    tried = []

    def lose(count):
        tried.append(count)
        return losses[count]

    for limit, wanted in ((5.0, 2), (1.0, 4), (0.3, 5)):
        tried.clear()
        assert loss_limit._find_least(lose, 9.0, 6, limit) == (wanted, losses[wanted])
        assert len(tried) < 6
    with pytest.raises(ParityError, match=r"with 5 of 6 layers in float 0\.30 points are lost"):
        loss_limit._find_least(lose, 9.0, 6, 0.1)


@pytest.mark.parametrize("layers", [0, 1])
def test_the_only_layer_does_not_stay_in_float(layers):
    with pytest.raises(ParityError, match=rf"with 0 of {layers} layers in float 9\.00 points"):
        loss_limit._find_least(lambda count: 0.0, 9.0, layers, 0.5)


def test_labels_make_it_a_loss_of_accuracy(program, data):
    best = [int(program.run(sample)[0].argmax()) for sample in data.choosing]
    labelled = dataclasses.replace(data, choosing_labels=tuple(best))
    assert choose_float_layers(program, labelled, 99.0).counts == "top-1"


def test_outputs_that_are_no_scores_have_no_best_class(data):
    program = capture_simply(lambda x, conv: conv(x), SHAPE, nn.Conv2d(3, 4, 1))
    with pytest.raises(SpecError, match="no row of scores"):
        choose_float_layers(program, data, 0.5)


def test_what_is_kept_brings_the_loss_below_the_limit(program, data):
    """The classes of forty samples hang on a layer that 8 bits spoil."""
    found = choose_float_layers(program, data, 5.0)
    assert found.loss_without > 5.0 >= found.loss
    assert {"layers.0", "layers.1"} <= set(found.layers) < {*found.layers, "layers.2"}
