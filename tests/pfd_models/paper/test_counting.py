"""The counters, on modules small enough to count by hand."""

import pytest
import torch
from torch import nn

from pfd_models import bsconv_profile, count_params, layer_macs, thop_counts
from pfd_models.layers.efformer import AttentionDownsample
from pfd_models.paper.counting import Counts


class Pair(nn.Module):
    """Holds a parameter beside a child: what only a true count sees."""

    def __init__(self, body):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(7))
        self.body = body

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize(
    ("layer", "bsconv", "thop"),
    [
        (nn.Conv2d(4, 6, 3, padding=1, bias=False), 8 * 8 * 216, 8 * 8 * 216),
        (nn.Conv2d(4, 6, 3, padding=1), 8 * 8 * (216 + 6), 8 * 8 * (216 + 6)),
        (nn.Conv2d(4, 8, 3, stride=2, groups=4, bias=False), 3 * 3 * 72, 3 * 3 * 72),
        (nn.BatchNorm2d(4), 2 * 256, 2 * 256),
        (nn.BatchNorm2d(4, affine=False), 256, 2 * 256),
        (nn.ReLU(), 256, 0),
        (nn.ReLU6(), 0, 0),
        (nn.Hardswish(), 0, 0),
        (nn.MaxPool2d(2), 256, 0),
        (nn.AvgPool2d(2), 256, 64),
        (nn.AdaptiveAvgPool2d(1), 256, 256 + 4),
        (nn.AdaptiveAvgPool2d(2), 256, 16 * (16 + 1)),
        (nn.Dropout(), 0, 0),
        (nn.Identity(), 0, 0),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 5)), 5 * 256 + 5, 5 * 256),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 5, bias=False)), 5 * 256, 5 * 256),
    ],
)
def test_each_layer_costs_what_its_rule_says(layer, bsconv, thop):
    params = count_params(layer)
    assert bsconv_profile(layer, (4, 8, 8)) == Counts(params=params, macs=bsconv)
    assert thop_counts(layer, (4, 8, 8)) == Counts(params=params, macs=thop)


def test_counters_do_not_see_parameters_beside_children():
    model = Pair(nn.Conv2d(3, 2, 1))
    assert count_params(model) == 15
    assert bsconv_profile(model, (3, 4, 4)).params == thop_counts(model, (3, 4, 4)).params == 8


def test_thop_does_not_see_what_is_never_called():
    model = nn.Sequential(nn.Conv2d(3, 2, 1))
    model.spare = nn.BatchNorm2d(16)
    model.forward = lambda x: model[0](x)
    assert thop_counts(model, (3, 4, 4)).params == 8
    assert bsconv_profile(model, (3, 4, 4)).params == count_params(model) == 40


def test_a_layer_called_twice_costs_twice_and_counts_once():
    conv = nn.Conv2d(3, 3, 1, bias=False)
    model = nn.Sequential(conv, nn.ReLU(), conv)
    assert thop_counts(model, (3, 4, 4)) == Counts(params=9, macs=2 * 9 * 16)


def test_products_are_attributed_to_the_module_that_computes_them():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), AttentionDownsample(8, 16, side=6))
    macs = layer_macs(model, (3, 6, 6))
    assert macs["0"] == 36 * 27 * 8
    assert macs["1"] == 8 * 9 * 36 * (16 + 64)  # queries with keys, weights with values
    assert macs["1.query.conv"] == 9 * 8 * 128
    assert macs["1.value_local.conv"] == 9 * 9 * 512
    assert "1.act" not in macs
    assert list(macs) == [name for name, _ in model.named_modules() if name in macs]


def test_a_single_layer_is_counted_under_the_empty_name():
    assert layer_macs(nn.Conv2d(2, 2, 1), (2, 3, 3)) == {"": 36}


@pytest.mark.parametrize("count", [bsconv_profile, thop_counts, layer_macs])
def test_counting_leaves_the_model_as_it_was(count):
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout())
    model.train()
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    count(model, (3, 4, 4))
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize("count", [bsconv_profile, thop_counts, layer_macs])
def test_a_model_that_fails_keeps_no_hooks_and_its_mode(count):
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Linear(7, 7))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        count(model, (3, 4, 4))
    assert model.training
    assert not any(m._forward_hooks for m in model.modules())


def test_counts_need_no_memory():
    with torch.device("meta"):
        model = nn.Conv2d(3, 100_000, 3, padding=1, bias=False)
    assert thop_counts(model, (3, 1000, 1000)).macs == 2_700_000 * 1_000_000


def test_half_precision_models_are_counted():
    model = nn.Conv2d(3, 2, 1).to(torch.bfloat16)
    assert bsconv_profile(model, (3, 4, 4)).macs == 16 * 8
