"""The normalisation of an image inside the first convolution: exact, borders included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.network.app import AppNetwork
from export.passes import fold_normalisation

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
IMAGE = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def normalised(layer, **options):
    return AppNetwork(layer, mean=MEAN, std=STD, **options).eval()


@pytest.mark.parametrize("bias", [True, False])
def test_without_padding_nothing_is_left_of_it(rig, bias):
    found = rig.alone(fold_normalisation, normalised(nn.Conv2d(3, 8, 3, bias=bias)), IMAGE)
    assert found.rewrites == 2
    assert found.after == {"conv2d.default": 1}
    assert found.error < 2e-6


def test_with_padding_the_shift_stays_so_that_the_border_is_right(rig):
    layer = normalised(nn.Conv2d(3, 8, 3, padding=1))
    found = rig.alone(fold_normalisation, layer, IMAGE)
    assert found.after == {"add.Tensor": 1, "conv2d.default": 1}
    assert found.error < 2e-6


def test_padding_costs_nothing_where_nothing_is_subtracted(rig):
    layer = AppNetwork(nn.Conv2d(3, 8, 3, padding=1), mean=(0.0,) * 3, std=STD).eval()
    assert rig.alone(fold_normalisation, layer, IMAGE).after == {"conv2d.default": 1}


def test_groups_get_the_numbers_of_their_own_channels(rig):
    found = rig.alone(fold_normalisation, normalised(nn.Conv2d(3, 6, 3, groups=3)), IMAGE)
    assert found.after == {"conv2d.default": 1}
    assert found.error < 2e-6


def test_bytes_are_scaled_by_the_weights_too(rig):
    pixels = torch.randint(0, 64, (2, 12, 12, 3), dtype=torch.uint8)
    layer = normalised(nn.Conv2d(3, 8, 3), takes_bytes=True)
    found = rig.alone(fold_normalisation, layer, pixels)
    assert found.rewrites == 3
    assert not {"div.Tensor", "sub.Tensor"} & set(found.after)
    assert found.error < 2e-6


class Twice(nn.Module):
    """Reads the normalised image in two places."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.conv(x), x


@pytest.mark.parametrize(
    "layer",
    [
        Twice(),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 8, 3)),
        nn.Conv2d(3, 8, 3, padding="same"),
    ],
)
def test_what_another_operator_reads_is_left_alone(rig, layer):
    found = rig.alone(fold_normalisation, normalised(layer), IMAGE)
    assert found.rewrites == 0
    assert found.error == 0.0


def test_a_shift_behind_the_first_layer_is_none_of_an_image(rig):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 3, 1), normalised(nn.Conv2d(3, 8, 3))).eval()
    assert rig.alone(fold_normalisation, layers, IMAGE).rewrites == 0
